# expect: SUCCESS
# Forks for ever, whatever comes of it.
import os
result = []
for _ in range(1000):
    try:
        if os.fork() == 0:
            while True:
                pass
        result.append('forked')
    except OSError:
        pass
