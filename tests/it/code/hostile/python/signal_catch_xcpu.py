# expect: CODE_CPU_EXCEEDED
# Goes on when it is told that its CPU time is over.
import signal
signal.signal(signal.SIGXCPU, lambda *_: None)
while True:
    pass
