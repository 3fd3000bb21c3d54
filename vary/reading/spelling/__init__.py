"""Choose between spellings of what was read: uncertain spans, digits and letters that look alike.

Each choice needs more than the cells of one character: the line around it, its column, or the height of its ink.
"""
