"""Is this picture fit to keep? One question, one file.

A gate has `judge(picture) -> Judgement`. One that must know its run has `open(run: RunFacts)` too, which gives what has
`judge` in its stead, or None. Of that, where they are there, `kept(picture)` hears of each picture that went into the
run, and `finish()` looks at the whole set and says one line.
"""
