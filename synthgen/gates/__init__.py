"""Is this picture fit to keep? One question, one file.

A gate has `judge(picture) -> Judgement`. One that must know its run has `open(run: RunFacts)` too, which gives what has
`judge` in its stead, or None; `finish()` of it, where there is one, looks at the whole set and says one line.
"""
