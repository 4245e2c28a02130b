"""`voiceframe doctor`: whether carriers reach this gateway, asked from outside in through its own public URL.

    doctor ──▶ DNS ──▶ TLS ──▶ proxy or tunnel ──▶ the gateway on this machine ──▶ what it saw ──▶ doctor

What is asked is the gateway that listens on the configured port: that is the one which calls come to, with its own
environment. Where nothing listens, the doctor listens there itself for as long as it asks, with the same endpoints, and
refuses calls as busy; so a proxy can be set up before there is a bot. Both answer at `/.well-known/voiceframe`:

- Only who shows a ticket is answered, made with a key that is derived from the secret which Twilio signs with. It
  stands in the path, because that is what no proxy drops. All others get 404, and learn nothing.
- The answer proves by the same key that it is a gateway with this secret, and by a key of the process that it is the
  very process that has answered on the local port. It says how the request has arrived, and whether its signature held.

Nothing that could be a signature of Twilio's is ever made for somebody else: the keys are apart.
"""

from .command import doctor as doctor
from .command import examine as examine

__all__ = ["doctor", "examine"]
