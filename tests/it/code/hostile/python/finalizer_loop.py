# expect: CODE_CPU_EXCEEDED
# Loops when its objects are thrown away.
class Sticky:
    def __del__(self):
        while True:
            pass
Sticky()
