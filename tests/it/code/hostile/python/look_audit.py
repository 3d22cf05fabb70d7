# expect: CODE_FAILED
# Watches what happens after it.
import os, sys
sys.addaudithook(lambda *_: os.fork())
open('x')
