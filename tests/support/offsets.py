"""What each stack of the tests adds to every port, so that all of them can run beside another run's."""

import os
from typing import Final

SHARED: Final = int(os.environ.get("STACK_OFFSET", "0"))
#: Less than 1,000 more, and no port of one is a port of another.
ONE_LIFE, SERVERS, UP = SHARED + 500, SHARED + 680, SHARED + 770
