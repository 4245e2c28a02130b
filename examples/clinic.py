"""A clinic that books appointments in a real calendar, by a declared dialog: no model, no key, no network.

    voiceframe chat examples/clinic.py --script examples/clinic.txt
    voiceframe chat examples/clinic.py

It is the bot that `voiceframe demo` calls. The dialog is in `voiceframe/demo/clinic.py`, on one page: its slots, its
states, and the tool that books. This one says in addition where its calendar is, and is a place for changes of yours.

The calendar is the SQLite file `CLINIC_DB` (or `metadata["clinic_db"]` of the call); `clinic.db` in the current folder
if neither is set.
"""

from voiceframe import Call, Pipeline
from voiceframe.demo import clinic


def bot(call: Call) -> Pipeline:
    clinic.calendar_of(call)  # it cannot be opened? Then the call is refused, before anybody hears a greeting
    return clinic.bot(call)
