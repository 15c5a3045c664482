"""Has the remote model changed? Pure: what to ask, and what the answers prove; nothing here sends, stores or looks at a clock.

``boundary`` finds inputs on which a small change shows, ``noise`` says how much answers differ of themselves, ``canary``,
``band``, ``shift`` and ``guard`` are the four channels of a check, ``check`` asks for all of them, ``effect`` measures how
large a change is, and ``power`` says beforehand what would be seen.
"""
