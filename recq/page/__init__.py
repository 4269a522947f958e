"""The page that `recq serve` shows to people: find, steer, look closer, and see how the daemon is doing.

Server-rendered HTML (Jinja2) on the questions of `recq.face`; every address holds the whole state of what it shows.
htmx exchanges the main part in place; without JavaScript all links and forms work as they are.
"""
