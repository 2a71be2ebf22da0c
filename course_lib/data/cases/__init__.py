"""Data of the cases that introductions name, divided by who owns it: generated, unless a file says otherwise.

A generator's world (which banks there are, how their customers live, how thieves work) is fixed; the seed draws what happened in it:
who paid what, on which day, with which noise. None is fitted to real data, so a level of accuracy says nothing about the real
task. What it can show is how the ways of training differ on data with this structure.
"""
