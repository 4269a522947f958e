"""Answers made visible, for a terminal and a notebook alike: tables, cards in rows, and what is known of the pictures.

Above everything that answers, below the face and the query tool: both show the same.
"""
