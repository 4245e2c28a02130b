"""`voiceframe demo`: a clinic that books appointments, those who call it, and the call as one looks at it."""
