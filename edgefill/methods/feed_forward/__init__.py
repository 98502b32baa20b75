"""Completion by a network that draws a hole in one pass: of frames around the holes, several at once.

What is seen of a picture, where a drawing belongs and how it joins what is known is geometry
(``edgefill.holes``); how the network wants to see it is its interface. Here the two meet.
"""
