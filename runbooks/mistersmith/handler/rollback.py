"""Stops the services of the cluster when the alarm fires: the first step of the way back.

An operator does the rest, with `switchback unwind`. What is stopped here is drift that the unwind accepts: it would
set the counts to 0 itself.
"""

import json
import os

import boto3


def handler(event, _context):
    """Sets the desired count of every service of the cluster to 0, for a message of an alarm that is in ALARM."""
    messages = [json.loads(record["Sns"]["Message"]) for record in event.get("Records", [])]
    if not any(message.get("NewStateValue") == "ALARM" for message in messages):
        return {"stopped": []}
    ecs = boto3.client("ecs")
    cluster = os.environ["CLUSTER_NAME"]
    stopped = []
    for page in ecs.get_paginator("list_services").paginate(cluster=cluster):
        for service in page["serviceArns"]:
            ecs.update_service(cluster=cluster, service=service, desiredCount=0)
            stopped.append(service)
    return {"stopped": stopped}
