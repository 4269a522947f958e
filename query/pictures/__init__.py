"""Answers as pictures: grids in a file or a page, explanations, previews on a terminal."""
