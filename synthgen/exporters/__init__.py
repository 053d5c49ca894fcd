"""Formats that a set goes out in, one file each.

A member has
  LOAD               Python that opens the export from inside its folder; it stands in the README of the export, and
                     tests run it
  check(export)      raises RequestError where this set cannot go out in this format; nothing is written
  write(export, folder) -> place(picture) -> (file, member)
                     writes into an empty folder; `place` says in which file a picture lies, and under which name inside
                     it ("" where the file is the picture). Bytes of pictures are kept. Pictures are taken one after the
                     other, and none is held: a set may be larger than memory.
  without(folder, job_ids)
                     writes its tables anew without these pictures, which were revoked; only where it has tables
  lineage(file)      what a file tells of its origin, where that is no XMP
  recognises(folder) whether a folder looks like this format
  read(folder)       the labelled pictures in it, one after the other, for `ingest`
`zip` packs what another member wrote, so it has `pack` in place of `write`.
"""
