"""What a script of tool calls may leave open until it runs."""
import json
import re

TASK_ID = re.compile(r"taskId\W+([0-9a-f-]{36})")


def fill(arguments, seen):
    """These arguments with the newest task's id of the text `seen` for `${task}`."""
    text = json.dumps(arguments)
    if "${task}" not in text:
        return arguments
    return json.loads(text.replace("${task}", TASK_ID.findall(seen)[-1]))
