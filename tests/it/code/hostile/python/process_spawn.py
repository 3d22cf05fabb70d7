# expect: CODE_FAILED
# Spawns a process.
import os
os.posix_spawn('/bin/sh', ['sh'], {})
