# expect: CODE_FAILED
# Changes its priority by nice.
import os
os.nice(-10)
