# expect: CODE_CPU_EXCEEDED
# Hears nothing of the end of its CPU time.
import signal
signal.signal(signal.SIGXCPU, signal.SIG_IGN)
while True:
    pass
