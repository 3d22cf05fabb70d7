# expect: CODE_FAILED
# Changes its root.
import os
os.chroot('/')
