"""The page of a call: one HTML file in which it can be heard, read and measured, on a disk or in a mail.

    Path("call.html").write_text(render(result, wav), encoding="utf-8")

It needs no network and no server. Its policy (Content-Security-Policy) allows its own script and style, by their
hashes, and the sound in it, and nothing else. The recording is the bulk of it: 43 kB a second, 3.9 MB for a call of
90 s, of which the rest is 90 kB.

Whatever comes from the call is escaped, and what is missing or of another kind than expected is left out: a page of a
call that went wrong is when one is needed most. The same input makes the same bytes.
"""

from .document import render as render

__all__ = ["render"]
