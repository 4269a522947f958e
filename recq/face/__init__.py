"""What programs and notebooks use recq by: `recq.open`, and what its answers are. `recq` itself hands it out.

Above everything else in `recq`, and nothing below imports it. docs/python.md lists what is public.
"""
