"""The story that `make demo` prints, told through the clients' own protocols.

`tell` drives the deployed functions and says to its listener what was done, what was seen and whether it held. The
demo prints it; a test listens to the same story.
"""

from local import breach_story, company, life, roll_call_story
from local.client import Client
from local.stack import Stack
from local.telling import Listener


def tell(stack: Stack, listener: Listener) -> None:
    """The whole story. Raises Broken where it can't go on, CallError where the service refuses what it should not."""
    with Client(stack) as client:
        life.tell(stack, client, listener)
        staff = company.hire(stack, client, listener)
        roll_call_story.tell(stack, client, listener)
        breach_story.tell(stack, client, staff, listener)
        company.tell(stack, client, staff, listener)
