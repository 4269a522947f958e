"""Answers as text: tables for eyes, JSON and CSV for programs."""
