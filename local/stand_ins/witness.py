"""Stand-in for the log's witness: moto's S3 server with Object Lock.

It keeps compliance mode as S3 does: what is locked can't be overwritten or deleted. It is another process than the
emulators, as the real one is in another account; and unlike the real one it forgets everything when the stack stops.

`python -m local.stand_ins.witness PORT` serves until it is killed.
"""

import sys
import threading
from typing import Final

import boto3

from local.stack.ports import WITNESS_BUCKET

#: moto asks for credentials, and takes any.
CREDENTIALS: Final = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


def main() -> None:
    """Serve on the port of the command line."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  (a second of import, for this process alone)

    port = int(sys.argv[1])
    ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False).start()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", **CREDENTIALS)
    client.create_bucket(Bucket=WITNESS_BUCKET, ObjectLockEnabledForBucket=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
