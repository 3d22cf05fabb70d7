# expect: CODE_KILLED or CODE_FAILED or CODE_MEMORY_EXCEEDED
# Calls itself past the end of the stack.
import sys
sys.setrecursionlimit(1 << 30)
class A:
    def __getattribute__(self, name):
        return getattr(self, name)
A().x
