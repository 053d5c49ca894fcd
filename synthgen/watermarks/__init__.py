"""Invisible marks in the pixels, one file each; off unless asked for, and refused for sets that others train on.

A member has
  BITS                            how many bits it holds
  SMALLEST                        px, the least side of a picture that holds them
  embed(pixels, bits) -> pixels   (h, w, 3) uint8 sRGB in and out; `bits` (BITS,) bool. The same input gives the same
                                  output
  read(pixels) -> bits            what a picture holds, (BITS,) bool; of one that holds nothing, anything

None is proof: whoever draws a picture again takes it out, and whoever knows the method puts it elsewhere. A member of
another package joins by the entry-point group `synthgen.watermarks`, and may need whatever that package needs.
"""
