# The counting guest. Real mode, BIOS services, 4 MiB of memory; the first sector loads the others.
#
# At every BIOS tick (18.2 a second) it appends a record to a ring on its own disk. Before that it reads its last
# record back, which must be identical byte by byte, and reads the slot it is going to fill, which must be blank or
# hold the record of exactly one lap before. Whatever else it finds was written by somebody else: it says so in an
# area that is only ever appended to, and goes on. So two copies on one disk cannot both be alive for a second
# without leaving a report there, whichever of them survives, and also when both have the same boot id.
#
# Disk: sectors from 0 this program, VIOLATIONS reports from VIOLATION_START, SLOTS records from RING_START.
# Counter c is in slot c modulo SLOTS; counting starts with 1. The numbers stand in the first sector for readers.
# Record:    0 "HACTREC1"   8 boot id  16 counter  24 nonce  32 nonce of the record before  40 BIOS ticks
# Violation: 0 "HACTVIO1"   8 boot id  16 counter  24 kind, sector  32 nonce  40 BIOS ticks
#            64 what was expected (192 bytes)   256 what was found (256 bytes)
# Kind 1: the last record is not the one that was written. Kind 2: the next slot is already in use.
# Boot id and nonce: the upper half is the clock (day, hour, minute, second in BCD), the lower half the TSC.

.code16
.globl _start

.set VIOLATION_START, 64
.set VIOLATIONS, 1024
.set RING_START, VIOLATION_START + VIOLATIONS
.set SLOTS, 65536 - RING_START
.set AHEAD, 64                  # how far beyond the end of the ring's order a start looks for records

.set FOUND, 0x9000              # the sector that was read last
.set LAST, 0x9200               # the record this copy wrote, or found, last
.set NEXT, 0x9400               # the record it is about to write
.set REPORT, 0x9600             # the violation it is about to report

.set COM1, 0x3f8
.set PM1_STATUS, 0x600          # where SeaBIOS puts the ACPI registers on i440fx and on q35
.set PM1_ENABLE, 0x602
.set PM1_CONTROL, 0x604
.set POWER_BUTTON, 0x100
.set SLEEP_NOW, 0x2000          # into S5, which has the type 0 in QEMU

_start:
    jmp begin
.org 4
    .ascii "HACOUNT1"
    .long RING_START, SLOTS, VIOLATION_START, VIOLATIONS
begin:
    ljmp $0, $1f
1:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $_start, %sp
    cld
    movb %dl, drive
    movb $0x42, %ah
    movw $packet, %si
    int $0x13
    jnc main
    movb $'E', %al
    call say
2:  hlt
    jmp 2b

say:                            # the character in al, to the serial port; without one this does nothing
    pushw %dx
    pushw %ax
    movw $COM1 + 5, %dx
1:  inb %dx, %al
    testb $0x20, %al
    jz 1b
    popw %ax
    movw $COM1, %dx
    outb %al, %dx
    popw %dx
    ret

drive:
    .byte 0x80
.balign 4
packet:                         # for int 13h: first the rest of this program, later one sector at a time
    .byte 16, 0
    .word (end - _start + 511) / 512 - 1
    .word _start + 512, 0
    .quad 1
.org 510
    .byte 0x55, 0xaa

# ---------------------------------------------------------------- from here on loaded by the first sector

main:
    movw $1, packet + 2
    inb $0xa1, %al              # ACPI's interrupt has no handler here: mask it, and ask the register instead
    orb $0x02, %al
    outb %al, $0xa1
    movw $PM1_ENABLE, %dx
    movw $POWER_BUTTON, %ax
    outw %ax, %dx
    movw $PM1_STATUS, %dx
    outw %ax, %dx
    sti
    call clock
    movl %eax, boot + 4
    rdtsc
    movl %eax, boot
    call find_newest
    movw $hello, %si
    call say_text
    movl boot + 4, %eax
    call say_number
    movl boot, %eax
    call say_number
    movw $from, %si
    call say_text
    movl counter, %eax
    call say_number
    call say_newline
next_tick:
    movl 0x46c, %eax
1:  hlt
    cmpl 0x46c, %eax
    je 1b
    movw $PM1_STATUS, %dx
    inw %dx, %ax
    testw $POWER_BUTTON, %ax
    jnz power_off
    call beat
    decw until_said
    jnz next_tick
    movw $18, until_said
    movw $count, %si
    call say_text
    movl counter, %eax
    call say_number
    call say_newline
    jmp next_tick

power_off:
    movw $bye, %si
    call say_text
    movw $PM1_CONTROL, %dx
    movw $SLEEP_NOW, %ax
    outw %ax, %dx
1:  hlt
    jmp 1b

beat:                           # one record: look back, look ahead, write
    cmpl $0, counter
    je 1f                       # nothing has ever been written to this disk
    movl counter, %eax
    call read_slot
    jc 9f
    movw $LAST, %si
    movw $FOUND, %di
    movw $128, %cx
    repe cmpsl
    je 1f
    movw $LAST, %si
    movl $1, %ebx
    call report
1:  call make_record
    movl counter, %eax
    incl %eax
    call read_slot
    jc 9f
    call is_free
    je 2f
    movw $NEXT, %si
    movl $2, %ebx
    call report
2:  movl counter, %eax
    incl %eax
    call sector_of
    movw $NEXT, %bx
    call write_sector
    jnc 3f
    hlt                         # the same record once more: whether it was written is not known
    jmp 2b
3:  movw $NEXT, %si
    movw $LAST, %di
    movw $128, %cx
    rep movsl
    incl counter
    ret
9:  movb $'E', %al
    call say
    ret

make_record:                    # NEXT, from this copy's own memory alone
    movw $NEXT, %di
    movw $128, %cx
    xorl %eax, %eax
    rep stosl
    movl $0x54434148, NEXT      # HACT
    movl $0x31434552, NEXT + 4  # REC1
    movl boot, %eax
    movl %eax, NEXT + 8
    movl boot + 4, %eax
    movl %eax, NEXT + 12
    movl counter, %eax
    incl %eax
    movl %eax, NEXT + 16
    call clock
    movl %eax, NEXT + 28
    rdtsc
    movl %eax, NEXT + 24
    cmpl $0, counter
    je 1f
    movl LAST + 24, %eax
    movl %eax, NEXT + 32
    movl LAST + 28, %eax
    movl %eax, NEXT + 36
1:  movl 0x46c, %eax
    movl %eax, NEXT + 40
    ret

is_free:                        # ZF: FOUND is blank, or the record one lap before NEXT
    movw $FOUND, %di
    movw $128, %cx
    xorl %eax, %eax
    repe scasl
    je 1f
    cmpl $0x54434148, FOUND
    jne 1f
    cmpl $0x31434552, FOUND + 4
    jne 1f
    movl FOUND + 16, %eax
    addl $SLOTS, %eax
    cmpl %eax, NEXT + 16
1:  ret

report:                         # a violation of kind ebx in the sector read last: si was expected, FOUND is there
    movw $REPORT + 64, %di
    movw $48, %cx
    rep movsl
    movw $FOUND, %si
    movw $64, %cx
    rep movsl
    movl $0x54434148, REPORT    # HACT
    movl $0x314f4956, REPORT + 4  # VIO1
    movl boot, %eax
    movl %eax, REPORT + 8
    movl boot + 4, %eax
    movl %eax, REPORT + 12
    movl counter, %eax
    movl %eax, REPORT + 16
    movl $0, REPORT + 20
    movl %ebx, REPORT + 24
    movl packet + 8, %eax
    movl %eax, REPORT + 28
    call clock
    movl %eax, REPORT + 36
    rdtsc
    movl %eax, REPORT + 32
    movl 0x46c, %eax
    movl %eax, REPORT + 40
    movw $violation, %si
    call say_text
1:  movl reports, %eax          # another copy may report as well: take a sector that nobody has used
    cmpl $VIOLATIONS, %eax
    jae 2f                      # the first ones are the ones that matter
    incl reports
    addl $VIOLATION_START, %eax
    call read_sector
    jc 1b
    cmpl $0, FOUND
    jne 1b
    movw $REPORT, %bx
    call write_sector
2:  ret

# The ring is in order but for one place: slots up to the newest record are of one lap, those after it of the lap
# before. Slot 0 names its lap, so the newest record is found by halving; a few slots more are looked at in case
# somebody left a gap.
find_newest:
    xorl %eax, %eax
    call counter_at
    movl %eax, lap
    xorl %esi, %esi             # a slot of this lap
    movl $SLOTS, %edi           # a slot that is not
1:  leal (%esi,%edi), %eax
    shrl $1, %eax
    cmpl %esi, %eax
    je 3f
    movl %eax, %ebp
    call counter_at
    subl lap, %eax
    cmpl %ebp, %eax
    jne 2f
    movl %ebp, %esi
    jmp 1b
2:  movl %ebp, %edi
    jmp 1b
3:  movl %esi, %ebp
    leal AHEAD(%esi), %edi
4:  incl %ebp
    cmpl $SLOTS, %ebp
    jae 5f
    cmpl %edi, %ebp
    ja 5f
    movl %ebp, %eax
    call counter_at
    subl lap, %eax
    cmpl %ebp, %eax
    jne 4b
    movl %ebp, %esi
    jmp 4b
5:  addl lap, %esi
    movl %esi, counter
    movl %esi, %eax
    call read_slot
    movw $FOUND, %si
    movw $LAST, %di
    movw $128, %cx
    rep movsl
    ret

counter_at:                     # eax: slot in, the counter of its record out; 0 when it holds none
    addl $RING_START, %eax
1:  call read_sector
    jc 1b
    xorl %eax, %eax
    cmpl $0x54434148, FOUND
    jne 2f
    cmpl $0x31434552, FOUND + 4
    jne 2f
    movl FOUND + 16, %eax
2:  ret

sector_of:                      # eax: counter in, sector of its slot out
    pushl %ecx
    pushl %edx
    xorl %edx, %edx
    movl $SLOTS, %ecx
    divl %ecx
    leal RING_START(%edx), %eax
    popl %edx
    popl %ecx
    ret

read_slot:                      # FOUND, from the slot of the counter in eax; CF: failed
    call sector_of
read_sector:                    # FOUND, from the sector in eax; CF: failed
    movw $FOUND, %bx
    movb $0x42, %ch
    jmp transfer
write_sector:                   # the sector at bx, to the sector in eax; CF: failed
    movb $0x43, %ch
transfer:
    pushal
    movl %eax, packet + 8
    movw %bx, packet + 4
    movb %ch, %ah
    xorb %al, %al
    movb drive, %dl
    movw $packet, %si
    int $0x13
    popal
    ret

clock:                          # eax: day, hour, minute, second, in BCD
    pushw %cx
    xorl %eax, %eax
    movw $cmos, %si
    movw $4, %cx
1:  shll $8, %eax
    pushl %eax
    lodsb
    outb %al, $0x70
    popl %eax
    inb $0x71, %al
    loop 1b
    popw %cx
    ret

say_text:                       # the text at si, which ends with a zero byte
    lodsb
    testb %al, %al
    jz 1f
    call say
    jmp say_text
1:  ret

say_number:                     # eax in hexadecimal
    movw $8, %cx
1:  roll $4, %eax
    pushl %eax
    andb $0xf, %al
    cmpb $10, %al
    jb 2f
    addb $'a' - '0' - 10, %al
2:  addb $'0', %al
    call say
    popl %eax
    loop 1b
    ret

say_newline:
    movb $'\n', %al
    jmp say

cmos:       .byte 7, 4, 2, 0
hello:      .asciz "boot "
from:       .asciz " from "
count:      .asciz "count "
bye:        .asciz "power button\n"
violation:  .asciz "VIOLATION\n"
until_said: .word 18
.balign 4
boot:       .quad 0
counter:    .long 0
lap:        .long 0
reports:    .long 0
.balign 512
end:
