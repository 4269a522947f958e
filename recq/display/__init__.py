"""Displays answers on a terminal and in a notebook: tables, and pictures with their facts.

It is above the rooms that answer, and below the face and the query tool, which show the same.
"""
