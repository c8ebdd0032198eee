"""Prints the port that it listens on, then each mail that it accepts as a line of JSON, until it is killed."""

import email
import email.policy
import json
import socket
import threading

from aiosmtpd.controller import Controller


class Printer:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text = message.get_body(("plain",)).get_content()
        line = {"to": envelope.rcpt_tos[0], "subject": message["Subject"], "text": text}
        print(json.dumps(line), flush=True)
        return "250 kept"


# The controller connects to itself by the number that it is given, so it cannot be told 0.
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
controller = Controller(Printer(), hostname="127.0.0.1", port=port)
controller.start()
print(port, flush=True)
threading.Event().wait()
