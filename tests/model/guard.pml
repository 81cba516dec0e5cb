/* The guard's protocol for one VM on three nodes, for Spin. What is admitted stands in table.pml, which is generated
 * from hacluster/guard/table.py; here is the world around it, and the order in which the code does things.
 *
 * Every option is one step that any other actor's step may come between. Whoever is between two of his own steps says
 * so in his node's fields (`birth`, `freeing`, `resuming`, `leaving`), and can be killed there. Agents follow no script:
 * each thing that start, stop, migrate_to, migrate_from, monitor, the background of an arrival or the sweep does to a
 * lock may be done by anybody at any time. That covers their every order, their repetition, and a kill at each step.
 *
 * A node that is `lost` is dead or cut off: nobody knows. All its actors may go on, and what it runs counts, until it
 * has been fenced. As long as one node is lost no lock operation anywhere is answered.
 *
 * Steps are merged only where no other actor could tell: a marker that a hook sets before it reads the record can only
 * make others refuse, and everybody may refuse at any time (a proof may be "unknown", a seat's deadline may pass).
 *
 * Nodes are alike, so after each step they are sorted (`step_done`); `name` remembers who is who for the trace.
 *
 * Bounds: MOVES, FAILURES, LEAVES.    The world: HANDOVER_RUNNING, DISK_LOCK, HAND_RESUMES_ARRIVALS.
 * Barriers to take away (each 0 or 1): see spin.py.
 */
#include "table.pml"

#define N 3
#define NOBODY 3
#define LOST_NONCE 7

/* A QEMU */
#define NONE 0
#define INCOMING 1 /* its memory is still coming */
#define COMPLETE 2 /* its memory is all here; it never ran */
#define RUNNING 3
#define PAUSED 4 /* a source at the end of the copy */

/* A migration */
#define NO_MOVE 0
#define SEATED 1 /* the target's hook `migrate` has taken a seat */
#define COPYING 2 /* its QEMU is there */
#define SWITCHED 3 /* the copy is complete, the reply to Finish is on its way */

/* libvirt creates a QEMU; a start that is refused has no other effect than a marker for a moment */
#define ADMITTED 1
#define FORKED 2

typedef Node {
  unsigned lock : 3; /* the mode that the lock manager has for it */
  unsigned record : 3; /* its state file: mode, nonce, handed */
  unsigned nonce : 3;
  bit handed;
  unsigned ended : 3; /* the note that its QEMU ended as the last step of this move */
  unsigned qemu : 3;
  bit dying; /* a killed QEMU has a thread that still writes */
  bit outrun; /* its memory is older than the disk: another copy ran since */
  unsigned birth : 2;
  bit incoming; /* that start is a move's */
  bit starting; /* its marker */
  bit announced; /* an incoming move was announced and not prepared yet */
  unsigned freeing : 2; /* a release: 1 record lowered, 2 half proved, 3 proved */
  bit resuming; /* somebody has marked this, then read that its guest may go on, and has not told libvirt yet */
  bit lost;
  bit outside; /* has left the lockspace */
  bit closed; /* the lockspace agent's witness is gone */
  unsigned leaving : 2
};

Node n[N];
unsigned gate_target : 2 = NOBODY; /* the value block; it outlives the lock that wrote it */
unsigned gate_nonce : 3;
bit handed_over;
unsigned moves : 2;
unsigned failures : 2;
unsigned leaves : 2;
unsigned move : 2;
unsigned source : 2 = NOBODY;
unsigned target : 2 = NOBODY;
unsigned xml_nonce : 3;

c_decl {
\#include <string.h>
}


c_code {
  static int name[3] = {1, 2, 3}; /* right in a replay only: it is no part of the state */
  static void exchange(int a, int b) {
    struct Node kept = now.n[a]; now.n[a] = now.n[b]; now.n[b] = kept;
    int who = name[a]; name[a] = name[b]; name[b] = who;
    now.gate_target = now.gate_target == a ? b : now.gate_target == b ? a : now.gate_target;
    now.source = now.source == a ? b : now.source == b ? a : now.source;
    now.target = now.target == a ? b : now.target == b ? a : now.target;
  }
  static void sort_pair(int a, int b) { if (memcmp(&now.n[a], &now.n[b], sizeof now.n[a]) > 0) exchange(a, b); }
}

#define step_done c_code { sort_pair(0, 1); sort_pair(1, 2); sort_pair(0, 1); }

#define A(i) ((i + 1) % N)
#define B(i) ((i + 2) % N)
#define BLOCKED (n[0].lost || n[1].lost || n[2].lost)
/* A lock operation can be done: the lock manager answers, and the VM's flock on this node is free. */
#define LOCKABLE(i) (!BLOCKED && !n[i].outside && n[i].freeing == 0)
#define GRANTED(i, mode) (GOES_WITH(n[A(i)].lock, mode) && GOES_WITH(n[B(i)].lock, mode))
#define LIVE(i) ((n[i].qemu == RUNNING) + n[i].dying)
#define COPIES (LIVE(0) + LIVE(1) + LIVE(2))
#define ABSENT_NOW(i) (n[i].qemu == NONE && !n[i].dying)
#define MARKED(i) (!NO_MARKER && n[i].starting)
/* QEMU's own lock on its image, or a lease: held while it runs, and as long as its writes can land. */
#define DISK_FREE(i) (!DISK_LOCK || LIVE(A(i)) + LIVE(B(i)) + n[i].dying == 0)
#define IN_JOB(i) ((move == COPYING && i == target) || (move == SWITCHED && i == source))
/* What a hook may believe of the record. */
#define CLAIM(i) (n[i].closed -> NL : n[i].record)
#define GATE_ADMITS(i) (gate_target == i && gate_nonce != 0 && !handed_over)
/* Nothing but the guard lets a copy run: then one that is left paused as a source has not been outrun. */
#define ONLY_AGENTS_RESUME (!HANDOVER_RUNNING && !HAND_RESUMES_ARRIVALS)
#define MAY_RESUME_COPY(i) (n[i].handed || !RESUME_NEEDS_HANDED_OVER(n[i].record) || (RESUME_UNNAMED && n[i].nonce == 0))
#define MAY_RESUME(i) ( \
  (RESUME_ALLOWED(n[i].record) && n[i].qemu == COMPLETE && MAY_RESUME_COPY(i)) || \
  (RESUME_ALLOWED(n[i].record) && n[i].qemu == PAUSED && (ONLY_AGENTS_RESUME || GO_ON_ALWAYS)) || \
  (RESUME_UNSEALED && n[i].record == CR && n[i].qemu == COMPLETE) || \
  (RESUME_AFTER_SEAT && n[i].record != CR && n[i].qemu == COMPLETE))

#define WHO(i) c_expr { name[i] }
#define TARGET c_expr { name[now.target] }
#define SAY(i, text) printf(text, WHO(i))

inline outruns(j) {
  if
  :: n[j].qemu == COMPLETE || n[j].qemu == PAUSED -> n[j].outrun = 1
  :: else
  fi
}

/* vCPUs of node i run from here on. Who was waiting elsewhere has been outrun by it. */
inline runs(i, by_hand) {
  n[i].qemu = RUNNING;
  assert(COPIES <= 1);
  assert(by_hand || !n[i].outrun);
  n[i].outrun = 0; outruns(A(i)); outruns(B(i))
}

inline gone(i) { n[i].qemu = NONE; n[i].outrun = 0 }

inline no_birth(i) { n[i].birth = 0; n[i].incoming = 0; n[i].starting = 0 }

inline no_move() { move = NO_MOVE; source = NOBODY; target = NOBODY; xml_nonce = 0 }

inline forget(i) { n[i].record = NL; n[i].nonce = 0; n[i].handed = 0; n[i].announced = 0; n[i].ended = 0 }

inline open_gate(i, t) {
  moves++; n[i].lock = OPEN_GATE_AFTER(n[i].lock); n[i].record = n[i].lock; n[i].nonce = moves; n[i].handed = 0;
  n[i].ended = 0; gate_target = t; gate_nonce = moves; handed_over = 0
}

/* The value block says that the move of this node's seat was handed over; of a seat whose record was lost, any move. */
#define HANDED_TO(i) (handed_over && (n[i].nonce == 0 || n[i].nonce == gate_nonce))

#define GATE_MAY_OPEN(i) (LOCKABLE(i) && moves < MOVES && OPEN_GATE_ALLOWED(n[i].lock) && !OPEN_GATE_NEEDS_SAME_MOVE(n[i].lock))

/* Lock operations that take or raise a lock. Each is one step, or is killed between lock and record: nobody who comes
 * in between could tell the difference, as the flock keeps this node's others out and a hook sees the record alone. */
#define AGENTS(i) \
  :: d_step { LOCKABLE(i) && n[i].lock == NL && SEAL_ALLOWED(NL) && GRANTED(i, SEAL_AFTER(NL)) -> \
       SAY(i, "n%d: seals\n"); forget(i); n[i].lock = SEAL_AFTER(NL); n[i].record = n[i].lock; step_done } \
  :: d_step { LOCKABLE(i) && n[i].lock == NL && SEAL_ALLOWED(NL) && GRANTED(i, SEAL_AFTER(NL)) -> \
       SAY(i, "n%d: seals, and is killed before it records that\n"); forget(i); n[i].lock = SEAL_AFTER(NL); step_done } \
  :: d_step { LOCKABLE(i) && n[i].lock != NL && n[i].record != n[i].lock -> \
       SAY(i, "n%d: adopts what it holds\n"); n[i].record = n[i].lock; n[i].handed = 0; step_done } \
  :: d_step { GATE_MAY_OPEN(i) -> open_gate(i, A(i)); \
       printf("n%d: opens its gate to n%d, move %d\n", WHO(i), WHO(A(i)), moves); step_done } \
  :: d_step { GATE_MAY_OPEN(i) -> open_gate(i, B(i)); \
       printf("n%d: opens its gate to n%d, move %d\n", WHO(i), WHO(B(i)), moves); step_done } \
  :: d_step { LOCKABLE(i) && n[i].lock == EX && OPEN_GATE_ALLOWED(EX) && n[i].record != PW && moves < MOVES -> \
       SAY(i, "n%d: records an open gate, and is killed before it opens it\n"); \
       n[i].record = PW; n[i].handed = 0; n[i].nonce = 0; n[i].ended = 0; step_done } \
  :: d_step { LOCKABLE(i) && n[i].lock == PW && RESEAL_ALLOWED(PW) && GRANTED(i, RESEAL_AFTER(PW)) -> \
       SAY(i, "n%d: seals its gate again\n"); \
       n[i].lock = RESEAL_AFTER(PW); n[i].record = n[i].lock; n[i].nonce = 0; n[i].handed = 0; step_done } \
  :: d_step { LOCKABLE(i) && n[i].lock == PW && RESEAL_ALLOWED(PW) && GRANTED(i, RESEAL_AFTER(PW)) -> \
       SAY(i, "n%d: seals its gate again, and is killed before it records that\n"); \
       n[i].lock = RESEAL_AFTER(PW); step_done } \
  :: d_step { LOCKABLE(i) && n[i].lock == CR && SEAL_SEAT_ALLOWED(CR) && GRANTED(i, SEAL_SEAT_AFTER(CR)) -> \
       SAY(i, "n%d: turns its seat into the seal\n"); n[i].lock = SEAL_SEAT_AFTER(CR); n[i].record = n[i].lock; \
       n[i].handed = (HANDED_TO(i) || SEAL_IS_ENOUGH -> 1 : 0); \
       n[i].nonce = (n[i].nonce != 0 -> n[i].nonce : LOST_NONCE); step_done } \
  :: d_step { LOCKABLE(i) && n[i].lock == CR && SEAL_SEAT_ALLOWED(CR) && GRANTED(i, SEAL_SEAT_AFTER(CR)) -> \
       SAY(i, "n%d: turns its seat into the seal, and is killed before it records that\n"); \
       n[i].lock = SEAL_SEAT_AFTER(CR); step_done } \
  :: d_step { LOCKABLE(i) && n[i].record == EX && n[i].nonce != 0 && n[i].qemu == RUNNING -> \
       SAY(i, "n%d: settles, its arrival runs\n"); n[i].nonce = 0; n[i].handed = 0; step_done }

/* Whoever lets a paused guest go on: the look at the record and the call to libvirt are two steps. */
#define RESUMERS(i) \
  :: d_step { !n[i].resuming && MAY_RESUME(i) -> \
       SAY(i, "n%d: somebody reads that its guest may go on\n"); n[i].resuming = 1; step_done } \
  :: d_step { n[i].resuming && (n[i].qemu == COMPLETE || n[i].qemu == PAUSED) && !IN_JOB(i) && DISK_FREE(i) -> \
       SAY(i, "n%d: its guest is told to go on\n"); n[i].resuming = 0; runs(i, false); step_done } \
  :: d_step { n[i].resuming -> SAY(i, "n%d: who wanted to let its guest go on is killed\n"); n[i].resuming = 0; step_done }

inline keep(i) { n[i].record = n[i].lock; n[i].handed = 0; n[i].freeing = 0 }

inline let_go(i) {
  handed_over = (n[i].lock == PW && n[i].ended != 0 && (n[i].nonce == 0 || n[i].nonce == n[i].ended) -> 1 : handed_over);
  n[i].lock = RELEASE_AFTER(n[i].lock); n[i].freeing = 0; forget(i)
}

/* Release: adopt and lower the record, prove absence in two looks, unlock. All under the flock. */
#define RELEASES(i) \
  :: d_step { LOCKABLE(i) && n[i].lock != NL && RELEASE_ALLOWED(n[i].lock) && !PROOF_FIRST -> \
       SAY(i, "n%d: adopts its lock to release it, and lowers its record\n"); n[i].record = NL; n[i].handed = 0; \
       n[i].freeing = (RELEASE_NEEDS_ABSENT(n[i].lock) -> 1 : 3); step_done } \
  :: d_step { LOCKABLE(i) && n[i].lock != NL && PROOF_FIRST && ABSENT_NOW(i) && !MARKED(i) -> \
       SAY(i, "n%d: is proved absent, its lock is not adopted yet\n"); n[i].freeing = 3; step_done } \
  :: d_step { n[i].freeing == 1 && (PROCESSES_FIRST -> ABSENT_NOW(i) : !MARKED(i)) -> \
       SAY(i, "n%d: proof, first look: nothing\n"); n[i].freeing = 2; step_done } \
  :: d_step { n[i].freeing == 2 && (PROCESSES_FIRST -> !MARKED(i) : ABSENT_NOW(i)) -> \
       SAY(i, "n%d: proof, second look: nothing\n"); n[i].freeing = 3; step_done } \
  :: d_step { (n[i].freeing == 1 || n[i].freeing == 2) && !BLOCKED -> \
       SAY(i, "n%d: proof: present or unknown, its lock stays\n"); keep(i); step_done } \
  :: d_step { n[i].freeing == 3 && !BLOCKED && !n[i].outside -> SAY(i, "n%d: unlocks\n"); let_go(i); step_done } \
  :: d_step { n[i].freeing != 0 -> \
       SAY(i, "n%d: its release is killed\n"); n[i].freeing = 0; n[i].handed = 0; \
       n[i].nonce = (n[i].record == NL -> 0 : n[i].nonce); step_done }

/* What prepare sees of an earlier QEMU on its own node. */
#define CLEAR(i) (n[i].qemu == NONE && (PREPARE_SEES_THE_LIVING || !n[i].dying))
#define BY_ITS_SEAT(i) (CLAIM(i) == CR && n[i].announced && INCOMING_ALLOWED(CR) && CLEAR(i))
#define BY_THE_RECORD(i) (FRESH_START_ALLOWED(CLAIM(i)) && (CLAIM(i) != CR || !n[i].announced) && CLEAR(i))

inline admit(i, move_s) { n[i].birth = ADMITTED; n[i].starting = 1; n[i].announced = 0; n[i].incoming = move_s }

/* libvirt creates a QEMU, by hand or for an agent or for an incoming move: prepare marks, reads the record and admits;
 * then the QEMU is forked; then `started` clears the marker. A restore is a start that RESTORE must allow besides. */
#define BIRTHS(i) \
  :: d_step { n[i].birth == 0 && BY_THE_RECORD(i) -> \
       SAY(i, "n%d: virsh create; prepare marks a start in flight, reads the record and admits\n"); \
       admit(i, 0); step_done } \
  :: d_step { n[i].birth == 0 && BY_ITS_SEAT(i) && !INCOMING_NEEDS_NONCE_IS_SEATS(CR) -> \
       SAY(i, "n%d: virsh create; prepare takes it for the incoming move and admits\n"); admit(i, 0); step_done } \
  :: d_step { n[i].birth == 0 && move == SEATED && target == i && (BY_THE_RECORD(i) || (BY_ITS_SEAT(i) && \
       (!INCOMING_NEEDS_NONCE_IS_SEATS(CR) || n[i].nonce == xml_nonce))) -> \
       SAY(i, "n%d: prepare marks the incoming move's start in flight, reads the record and admits\n"); \
       admit(i, 1); step_done } \
  :: d_step { n[i].birth == ADMITTED && n[i].incoming -> \
       SAY(i, "n%d: the QEMU of the incoming move is forked\n"); n[i].qemu = INCOMING; n[i].birth = FORKED; \
       move = (move == SEATED && target == i -> COPYING : move); step_done } \
  :: d_step { n[i].birth == ADMITTED && !n[i].incoming && DISK_FREE(i) -> \
       SAY(i, "n%d: the QEMU is forked and its guest runs\n"); n[i].birth = FORKED; runs(i, false); step_done } \
  :: d_step { n[i].birth == FORKED -> SAY(i, "n%d: hook started clears the marker\n"); no_birth(i); step_done } \
  :: d_step { n[i].birth == ADMITTED -> SAY(i, "n%d: the start is broken off\n"); no_birth(i); step_done }

inline seat(i, k) {
  n[i].lock = TAKE_SEAT_AFTER(n[i].lock); n[i].record = n[i].lock; n[i].handed = 0;
  n[i].nonce = k; n[i].announced = 1; move = SEATED; target = i; xml_nonce = k
}

#define SEAT_FREE(i) (LOCKABLE(i) && TAKE_SEAT_ALLOWED(n[i].lock) && \
  (n[i].lock == CR || GRANTED(i, TAKE_SEAT_AFTER(n[i].lock))) && (UNMARKED_RESUME || !n[i].resuming))

/* libvirt at the target announces a move, of an agent or by hand with the nonce of an older move that the XML still
 * bears, however late: nothing but the gate must stand against it. */
#define SEATS(i) \
  :: d_step { move == NO_MOVE && SEAT_FREE(i) && (!TAKE_SEAT_NEEDS_GATE_NAMES_US(n[i].lock) || GATE_ADMITS(i)) -> \
       printf("n%d: hook migrate takes a seat for move %d\n", WHO(i), gate_nonce); seat(i, gate_nonce); step_done } \
  :: d_step { move == NO_MOVE && SEAT_FREE(i) && !TAKE_SEAT_NEEDS_GATE_NAMES_US(n[i].lock) && gate_nonce > 1 -> \
       printf("n%d: hook migrate takes a seat for move 1\n", WHO(i)); seat(i, 1); step_done } \
  :: d_step { LOCKABLE(i) && n[i].lock == NL && gate_nonce != 0 && TAKE_SEAT_ALLOWED(NL) && GRANTED(i, TAKE_SEAT_AFTER(NL)) -> \
       SAY(i, "n%d: hook migrate gets a seat's lock, and is killed before it looks into the value block\n"); \
       forget(i); n[i].lock = TAKE_SEAT_AFTER(NL); step_done } \
  :: d_step { SHARED_MARKER && n[i].starting && gate_nonce != 0 -> \
       SAY(i, "n%d: hook migrate marks an arrival, gets no seat, and takes the marker away\n"); n[i].starting = 0; step_done }

/* What libvirt makes of a move with a seat. The client can die anywhere, and the reply to Finish can be lost. */
#define MIGRATIONS(i) \
  :: d_step { move == SEATED && target == i -> SAY(i, "n%d: the move to it breaks off\n"); no_move(); step_done } \
  :: d_step { move == COPYING && target == i -> \
       SAY(i, "n%d: the move to it breaks off, its QEMU is destroyed\n"); gone(i); no_birth(i); no_move(); step_done } \
  :: d_step { move == COPYING && target == i -> \
       SAY(i, "n%d: the move to it breaks off, its QEMU stays\n"); no_move(); step_done } \
  :: d_step { move == COPYING && target != i && n[i].qemu == RUNNING && n[i].birth == 0 && n[target].qemu == INCOMING -> \
       printf("n%d: its guest is paused, the copy on n%d is complete\n", WHO(i), TARGET); \
       n[i].qemu = PAUSED; n[target].qemu = COMPLETE; move = SWITCHED; source = i; \
       if \
       :: HANDOVER_RUNNING && DISK_FREE(target) -> printf("n%d: Finish lets the copy run\n", TARGET); runs(target, false) \
       :: else -> printf("n%d: Finish leaves the copy paused\n", TARGET) \
       fi; step_done } \
  :: d_step { move == SWITCHED && source == i && n[i].qemu == PAUSED -> \
       SAY(i, "n%d: Confirm ends the source's QEMU; its agent notes that\n"); \
       n[i].ended = (n[i].lock == PW && n[i].nonce == xml_nonce && gate_target == target -> xml_nonce : n[i].ended); \
       gone(i); no_move(); step_done } \
  :: d_step { move == SWITCHED && source == i && n[i].qemu == PAUSED -> \
       SAY(i, "n%d: Confirm ends the source's QEMU; nobody notes that\n"); gone(i); no_move(); step_done } \
  :: d_step { move == SWITCHED && source == i && n[i].qemu == PAUSED && DISK_FREE(i) -> \
       SAY(i, "n%d: the reply to Finish is lost, the source's guest goes on by itself\n"); no_move(); \
       runs(i, !ONLY_AGENTS_RESUME); step_done } \
  :: d_step { move == SWITCHED && source == i -> \
       SAY(i, "n%d: the migration's client dies at the end\n"); no_move(); step_done }

/* Two operators or twenty: every call of theirs stands alone. The guest and its QEMU can end by themselves, too. */
#define OPERATORS(i) \
  :: d_step { n[i].qemu != NONE -> \
       SAY(i, "n%d: its QEMU ends: destroyed, crashed or shut down\n"); gone(i); no_birth(i); step_done } \
  :: d_step { n[i].qemu == RUNNING && !n[i].dying -> \
       SAY(i, "n%d: its QEMU is killed, a thread of it still writes\n"); gone(i); no_birth(i); n[i].dying = 1; step_done } \
  :: d_step { n[i].dying -> SAY(i, "n%d: the last write has landed\n"); n[i].dying = 0; step_done } \
  :: d_step { n[i].qemu == PAUSED && !IN_JOB(i) && DISK_FREE(i) -> \
       SAY(i, "n%d: an operator resumes the source\n"); runs(i, !ONLY_AGENTS_RESUME); step_done } \
  :: d_step { n[i].qemu == COMPLETE && !IN_JOB(i) && DISK_FREE(i) && HAND_RESUMES_ARRIVALS -> \
       SAY(i, "n%d: an operator resumes the paused arrival\n"); runs(i, true); step_done }

/* Fencing, and the lock manager's purge after it. */
#define FENCING(i) \
  :: d_step { !n[i].lost && failures < FAILURES -> \
       SAY(i, "n%d: is lost, dead or cut off\n"); n[i].lost = 1; failures++; step_done } \
  :: d_step { n[i].lost && !PURGE_BEFORE_FENCING -> \
       SAY(i, "n%d: is fenced; its locks are purged; it boots\n"); \
       gone(i); no_birth(i); forget(i); n[i].dying = 0; n[i].freeing = 0; n[i].resuming = 0; n[i].leaving = 0; \
       n[i].lock = NL; n[i].lost = 0; n[i].outside = 0; n[i].closed = 0; \
       if :: move != NO_MOVE && (source == i || target == i) -> no_move() :: else fi; step_done } \
  :: d_step { n[i].lost && PURGE_BEFORE_FENCING -> \
       SAY(i, "n%d: the fence device lies: its locks are purged and it lives\n"); \
       n[i].lock = NL; n[i].lost = 0; n[i].outside = 1; step_done }

/* The lockspace agent's stop and start. Before it leaves it closes the node (no hook admits any more) and proves that
 * nothing of the VM is here; what the records say holds only while the node is not closed. */
#define CLOSES (!LEAVE_UNPROVED && !LEAVE_BY_RECORDS)
#define LOCKSPACE(i) \
  :: d_step { n[i].leaving == 0 && !n[i].outside && leaves < LEAVES -> \
       SAY(i, "n%d: lockspace stop begins\n"); leaves++; n[i].closed = CLOSES; n[i].leaving = 1; \
       n[i].record = (LEAVE_BY_RECORDS -> NL : n[i].record); step_done } \
  :: d_step { n[i].leaving == 1 && (LEAVE_UNPROVED || !MARKED(i)) -> \
       SAY(i, "n%d: lockspace stop: no start in flight\n"); n[i].leaving = 2; step_done } \
  :: d_step { n[i].leaving == 2 && ABSENT_NOW(i) -> \
       SAY(i, "n%d: lockspace stop: no QEMU\n"); n[i].leaving = 3; step_done } \
  :: d_step { n[i].leaving == 3 && !BLOCKED -> \
       SAY(i, "n%d: leaves the lockspace, its locks go\n"); n[i].lock = NL; n[i].outside = 1; n[i].leaving = 0; step_done } \
  :: d_step { (n[i].leaving == 1 || n[i].leaving == 2) -> \
       SAY(i, "n%d: lockspace stop refuses\n"); n[i].leaving = 0; n[i].closed = 0; step_done } \
  :: d_step { n[i].leaving != 0 -> SAY(i, "n%d: lockspace stop is killed\n"); n[i].leaving = 0; step_done } \
  :: d_step { (n[i].outside || n[i].closed) && n[i].leaving == 0 && n[i].freeing == 0 && !BLOCKED && !PURGE_BEFORE_FENCING -> \
       SAY(i, "n%d: lockspace start\n"); \
       if :: n[i].outside && CLOSES -> forget(i) :: else fi; \
       n[i].outside = 0; n[i].closed = 0; step_done }

#define NODE(i) \
  AGENTS(i) RESUMERS(i) RELEASES(i) BIRTHS(i) SEATS(i) MIGRATIONS(i) OPERATORS(i) FENCING(i) LOCKSPACE(i)

active proctype node_a() { do NODE(0) od }
active proctype node_b() { do NODE(1) od }
active proctype node_c() { do NODE(2) od }
