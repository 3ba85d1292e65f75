"""An S3 API on a free port of the loopback until stdin ends; runs with the wheels of lock/s3.txt.

Signatures are checked. The first line of stdout is: address, key id, secret.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

SET_UP_REQUESTS = 5  # no request can be signed before the key exists
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = str(SET_UP_REQUESTS)  # moto reads it when imported

import boto3  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

POLICY = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}


def main() -> None:
    """Start, make a user, a key and the buckets named as arguments, and wait."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"

    def client(name: str) -> Any:
        return boto3.client(
            name,
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="unknown",
            aws_secret_access_key="nothing",  # noqa: S106 - not checked yet
        )

    iam, s3 = client("iam"), client("s3")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [POLICY]})
    iam.create_user(UserName="glagol")
    iam.put_user_policy(UserName="glagol", PolicyName="s3", PolicyDocument=policy)
    key = iam.create_access_key(UserName="glagol")["AccessKey"]
    for bucket in sys.argv[1:]:
        s3.create_bucket(Bucket=bucket)
    sys.stdout.write(f"{url} {key['AccessKeyId']} {key['SecretAccessKey']}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
