"""The script of the demo, told through the clients' own protocols.

`tell` drives the deployed functions and says to its listener what was done, what was seen and whether it held. The
demo prints it; a test listens to the same story.
"""

from local.demo import breach, company, roll_call
from local.demo import customer_life as life
from local.demo.client import Client
from local.demo.narration import Listener
from local.stack.stack import Stack


def tell(stack: Stack, listener: Listener) -> None:
    """The whole story. Raises Broken where it can't go on, CallError where the service refuses what it should not."""
    with Client(stack) as client:
        life.tell(stack, client, listener)
        staff = company.hire(stack, client, listener)
        roll_call.tell(stack, client, listener)
        breach.tell(stack, client, staff, listener)
        company.tell(stack, client, staff, listener)
