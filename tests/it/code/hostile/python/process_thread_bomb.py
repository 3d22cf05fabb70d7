# expect: CODE_FAILED
# Starts threads for ever.
import _thread
while True:
    _thread.start_new_thread(lambda: [0] * 100, ())
