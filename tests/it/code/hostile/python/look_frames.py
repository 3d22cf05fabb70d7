# expect: CODE_FAILED
# Takes the function that sends results from the frames below.
import sys
frame = sys._getframe()
while frame.f_back:
    frame = frame.f_back
frame.f_globals['send'](b'Z', b'hello')
