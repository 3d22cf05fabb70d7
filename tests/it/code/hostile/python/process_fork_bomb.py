# expect: CODE_FAILED
# Forks for ever.
import os
while True:
    os.fork()
