"""The service: pages and a JSON API over one database, and the runs that it is asked for (extra ``web``).

Start reading at ``app.py``; ``access.py`` says who may do what, ``pages.py`` and ``api.py`` are what is answered.
"""
