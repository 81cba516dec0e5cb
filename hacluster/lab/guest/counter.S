# The counting guest. Real mode, BIOS services, 4 MiB of memory; the first sector loads the others.
#
# At every second BIOS tick (every 110 ms) it appends a record to a ring on its own disk. Before that it reads its last
# record back, which must be identical byte by byte, and reads the slot it is going to fill, which must be blank or
# hold the record of exactly one lap before. Whatever else it finds was written by somebody else: it says so in an
# area that is only ever appended to, and goes on. So two copies on one disk cannot both be alive for a second
# without leaving a report there, whichever of them survives, and also when both have the same boot id.
#
# It must cost next to nothing, because a lab has several of it and may have no KVM. What costs is waiting for the disk:
# SeaBIOS asks over and over whether a transfer is done, and emulated that is slow and hinders the transfer itself.
# Between two questions SeaBIOS lets interrupts in, so here the real-time clock interrupts there, and its handler halts
# until the clock's next tick. Another thing that costs under emulation is to write into a page that has code: what
# changes is in pages of its own, and so is the stack.
#
# Assembled with the symbol SPIN it does not sleep between two records, but changes one page of its memory after another,
# from DIRTY_FROM to DIRTY_TO and from the beginning again, with SPIN turns of an empty loop after each: a guest that is
# hard to move, and easier when its processor is slowed.
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

.set FOUND, 0x9000              # the sector that was read last; of two, the first
.set FOUND_NEXT, 0x9200         # of two, the second
.set LAST, 0x9400               # the record this copy wrote, or found, last
.set NEXT, 0x9600               # the record it is about to write
.set REPORT, 0x9800             # the violation it is about to report
.set VARIABLES, 0x9a00          # zero at the start:
.set packet, VARIABLES          #   what int 13h is to do, 16 bytes
.set boot, VARIABLES + 16       #   8 bytes
.set counter, VARIABLES + 24    #   4 bytes, as are the next two
.set lap, VARIABLES + 28
.set reports, VARIABLES + 32
.set until_said, VARIABLES + 36  #  2 bytes
.set drive, VARIABLES + 38      #   1 byte, as is the next
.set may_sleep, VARIABLES + 39  #   nonzero while a transfer is under way, and the clock's handler is not halting
.set next_page, VARIABLES + 40  #   4 bytes
.set VARIABLES_END, VARIABLES + 44
.set STACK, 0xb000              # its end

.set DIRTY_FROM, 16 << 20
.set DIRTY_TO, 80 << 20
.set AT_ONCE, 8                 # pages between two looks at the time
.set PAGE, 4096

.set TICKS, 2                   # from one record to the next
.set TICKS_SEEN, 0x46c          # the BIOS's count of ticks; it starts anew at midnight
.set CLOCK_VECTOR, 0x70 * 4
.set CLOCK_A, 0x0a              # registers of the real-time clock
.set CLOCK_B, 0x0b
.set CLOCK_C, 0x0c
.set AT_1024_HZ, 0x26
.set PERIODIC, 0x40             # in register B: interrupt at every tick of the rate
.set INTERRUPTS_ON, 0x200       # in the processor's flags

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
    movw $STACK, %sp
    cld
    movw $VARIABLES, %di
    movw $VARIABLES_END - VARIABLES, %cx
    rep stosb
    movb %dl, drive
    movb $0x42, %ah
    movw $loading, %si
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

.balign 4
loading:                        # for int 13h: the rest of this program
    .byte 16, 0
    .word (end - _start + 511) / 512 - 1
    .word _start + 512, 0
    .quad 1
.org 510
    .byte 0x55, 0xaa

# ---------------------------------------------------------------- from here on loaded by the first sector

main:
    movw $16, packet
    inb $0xa1, %al              # ACPI's interrupt has no handler here: mask it, and ask the register instead
    orb $0x02, %al
    andb $0xfe, %al             # the real-time clock's has one
    outb %al, $0xa1
    movw $clock_ticks, CLOCK_VECTOR
    movw $0, CLOCK_VECTOR + 2
    movb $CLOCK_A, %al
    outb %al, $0x70
    movb $AT_1024_HZ, %al
    outb %al, $0x71
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
next_record:
    movw $TICKS, %cx
1:  movl TICKS_SEEN, %eax
2:
.ifdef SPIN
    call change_memory
.else
    hlt
.endif
    cmpl TICKS_SEEN, %eax
    je 2b
    loop 1b
    movw $PM1_STATUS, %dx
    inw %dx, %ax
    testw $POWER_BUTTON, %ax
    jnz power_off
    call beat
    incw until_said
    cmpw $9, until_said
    jb next_record
    movw $0, until_said
    movw $count, %si
    call say_text
    movl counter, %eax
    call say_number
    call say_newline
    jmp next_record

power_off:
    movw $bye, %si
    call say_text
    movw $PM1_CONTROL, %dx
    movw $SLEEP_NOW, %ax
    outw %ax, %dx
1:  hlt
    jmp 1b

.ifdef SPIN
change_memory:                  # some pages above the first MiB, through a segment without a limit; SeaBIOS takes that
    pushal                      # away at each transfer
    cli
    lgdtl flat
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    movw $8, %bx
    movw %bx, %fs
    andb $0xfe, %al
    movl %eax, %cr0
    sti
    movl next_page, %edi
    movw $AT_ONCE, %dx
1:  cmpl $DIRTY_FROM, %edi
    jb 2f
    cmpl $DIRTY_TO, %edi
    jb 3f
2:  movl $DIRTY_FROM, %edi
3:  incl %fs:(%edi)
    addl $PAGE, %edi
    movl $SPIN, %ecx
4:  decl %ecx
    jnz 4b
    decw %dx
    jnz 1b
    movl %edi, next_page
    popal
    ret

.balign 8
descriptors:                    # none, and one of data over the whole address space
    .quad 0, 0x00cf92000000ffff
flat:
    .word flat - descriptors - 1
    .long descriptors
.endif

beat:                           # one record: look back and ahead, write
    call look
    jc 9f
    cmpl $0, counter
    je 1f                       # nothing has ever been written to this disk
    movw $LAST, %si
    movw $FOUND, %di
    movw $128, %cx
    repe cmpsl
    je 1f
    movl counter, %eax
    call sector_of
    movw $LAST, %si
    movw $FOUND, %di
    movl $1, %ebx
    call report
1:  call make_record
    call is_free
    je 2f
    movl counter, %eax
    incl %eax
    call sector_of
    movw $NEXT, %si
    movw $FOUND_NEXT, %di
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

look:                           # FOUND, the last record, and FOUND_NEXT, the slot after it; CF: failed
    movl counter, %eax
    call sector_of
    movw $FOUND, %bx
    cmpl $RING_START + SLOTS - 1, %eax
    je 1f
    movw $2, %cx
    jmp read_sectors
1:  movw $1, %cx
    call read_sectors
    jc 2f
    movl $RING_START, %eax
    movw $FOUND_NEXT, %bx
    jmp read_sectors
2:  ret

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
1:  movl TICKS_SEEN, %eax
    movl %eax, NEXT + 40
    ret

is_free:                        # ZF: FOUND_NEXT is blank, or the record one lap before NEXT
    movw $FOUND_NEXT, %di
    movw $128, %cx
    xorl %eax, %eax
    repe scasl
    je 1f
    cmpl $0x54434148, FOUND_NEXT
    jne 1f
    cmpl $0x31434552, FOUND_NEXT + 4
    jne 1f
    movl FOUND_NEXT + 16, %eax
    addl $SLOTS, %eax
    cmpl %eax, NEXT + 16
1:  ret

report:                         # a violation of kind ebx in the sector eax: what is at si was expected, at di found
    movl %eax, REPORT + 28
    pushw %di
    movw $REPORT + 64, %di
    movw $48, %cx
    rep movsl
    popw %si
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
    call clock
    movl %eax, REPORT + 36
    rdtsc
    movl %eax, REPORT + 32
    movl TICKS_SEEN, %eax
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
    movw $1, %cx
read_sectors:                   # cx of them to bx, from the sector in eax on; CF: failed
    movb $0x42, %dh
    jmp transfer
write_sector:                   # the sector at bx, to the sector in eax; CF: failed
    movw $1, %cx
    movb $0x43, %dh
transfer:
    pushal
    movw %cx, packet + 2
    movw %bx, packet + 4
    movl %eax, packet + 8
    cli                         # the clock may interrupt when SeaBIOS lets it
    movb $1, may_sleep
    movb $PERIODIC, %ah
    call clock_interrupts
    movb %dh, %ah
    xorb %al, %al
    movb drive, %dl
    movw $packet, %si
    int $0x13
    pushfw
    movb $0, may_sleep
    movb $0, %ah
    call clock_interrupts
    popfw
    sti
    popal
    ret

clock_interrupts:               # the clock's, on with PERIODIC in ah and off with 0; on, when a tick is not
    movb $CLOCK_B, %al          # acknowledged yet, it interrupts at once
    outb %al, $0x70
    inb $0x71, %al
    andb $~PERIODIC, %al
    orb %ah, %al
    outb %al, $0x71
    ret

# The clock's interrupt: halt until the next one. That is left unacknowledged, so that this runs again when SeaBIOS
# lets interrupts in the next time; not at once, before it has looked again, and so it goes on with interrupts off.
clock_ticks:
    pushw %ax
    xorb %al, %al
    xchgb %al, %cs:may_sleep
    testb %al, %al
    jz 1f
    movb $CLOCK_C, %al          # reading it acknowledges
    outb %al, $0x70
    inb $0x71, %al
    call end_of_interrupt
    sti
    hlt
    cli
    movb $0, %ah
    call clock_interrupts
    movb $PERIODIC, %ah
    call clock_interrupts
    movb $1, %cs:may_sleep
    pushw %bp
    movw %sp, %bp
    andw $~INTERRUPTS_ON, 8(%bp)
    popw %bp
    popw %ax
    iretw
1:  call end_of_interrupt
    popw %ax
    iretw

end_of_interrupt:
    movb $0x20, %al
    outb %al, $0xa0
    outb %al, $0x20
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
.balign 512
end:
