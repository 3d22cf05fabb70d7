# expect: TIMEOUT
# Closes the channel and stays.
import os, time
for fd in range(3, 64):
    try:
        os.close(fd)
    except OSError:
        pass
time.sleep(1000)
