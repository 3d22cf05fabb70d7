# expect: CODE_FAILED
# Sets the clock.
import time
time.clock_settime(time.CLOCK_REALTIME, 0)
