# expect: CODE_FAILED
# Puts memory into a file without a name.
import os
os.write(os.memfd_create('x'), b'x' * 1_000_000)
