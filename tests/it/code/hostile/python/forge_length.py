# expect: OUTPUT_TOO_LARGE
# Says that very much is to come.
import os
os.write(3, b'\xff\xff\xff\xffR')
