# placeholder, replaced below
.code16
.globl _start
_start: hlt
jmp _start
.org 510
.byte 0x55,0xaa
