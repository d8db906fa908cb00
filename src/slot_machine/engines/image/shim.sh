#!/bin/sh
# Process 1 of a container, and its health check. It needs POSIX sh only: dash, bash and the ash of busybox run it.
#
#   shim.sh run COMMAND                   `/bin/sh -c` runs it; signals go to all of its processes
#   shim.sh run PROGRAM ARGUMENT...       runs it without a shell
#   shim.sh worker COMMAND                like `run`, but signals go to its main process alone
#   shim.sh health PATH STATUSES [HOST]   exits with 0 if the app is healthy on $INTERNAL_PORT, and can be reached on $PORT
#   shim.sh check                         exits with 0 if the image has the programs that this file needs
#
# SLOT_MACHINE_ENV_FILE       a file with variables for the command; `engines/image/variables.py` writes it
# SLOT_MACHINE_STOP_DELAY_MS  the first SIGTERM is passed on after this time
# SLOT_MACHINE_STOP_SIGNAL    what is passed on in place of SIGTERM
#
# A name that begins with `_sm_` is a variable of this file. Others could be those of the app.

_sm_programs="setsid mktemp mkfifo sleep mkdir rm id"
_sm_list=/slot-machine/shared
_sm_cr=$(printf '\r')

_sm_fail() {
    echo "slot-machine: $1" >&2
    exit "${2:-126}"
}

_sm_check() {
    for _sm_program in $_sm_programs; do
        command -v "$_sm_program" >/dev/null || _sm_fail "the base image has no $_sm_program: set base_image to one that has"
    done
    [ "$(_sm_client)" ] || _sm_fail "the base image has nothing that can ask for the app's health, such as bash or curl"
}

# --- A command ---

_sm_load_variables() {
    [ "${SLOT_MACHINE_ENV_FILE:-}" ] || return 0
    [ -r "$SLOT_MACHINE_ENV_FILE" ] || _sm_fail "cannot read the variables in $SLOT_MACHINE_ENV_FILE"
    while IFS= read -r _sm_line; do
        _sm_name=${_sm_line%%=*}
        case $_sm_name in
        '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;;
        PORT | INTERNAL_PORT | SLOT_MACHINE* | _sm_*) continue ;;
        IFS | UID | EUID | PPID | SHELLOPTS | BASHOPTS | BASH_VERSINFO) continue ;;
        esac
        # The last character keeps the substitution from removing newlines at the end.
        _sm_value=$(printf '%bx' "${_sm_line#*=}")
        export "$_sm_name=${_sm_value%x}"
    done <"$SLOT_MACHINE_ENV_FILE"
}

# A volume may be empty.
_sm_make_shared() {
    [ -r "$_sm_list" ] || return 0
    while IFS= read -r _sm_folder; do
        mkdir -p "$SLOT_MACHINE_SHARED/$_sm_folder" || _sm_fail "user $(id -u) can't write to $SLOT_MACHINE_SHARED"
    done <"$_sm_list"
}

# To all processes of the command, or to the main ones alone. Not each sh takes `--` before the number of a group.
_sm_send() {
    if [ "$_sm_whom" = group ]; then
        kill "-$1" "-$_sm_group" 2>/dev/null
    else
        _sm_send_to_mains "$1" "$_sm_main"
    fi
}

# In place of a shell that only waits, its children get it. $2 are pids.
_sm_send_to_mains() {
    for _sm_pid in $2; do
        _sm_name="" _sm_below=""
        read -r _sm_name 2>/dev/null <"/proc/$_sm_pid/comm"
        case $_sm_name in
        sh | dash | bash | ash | busybox)
            _sm_catches "$1" "$_sm_pid" || read -r _sm_below 2>/dev/null <"/proc/$_sm_pid/task/$_sm_pid/children"
            ;;
        esac
        if [ "$_sm_below" ]; then
            _sm_send_to_mains "$1" "$_sm_below"
        else
            kill "-$1" "$_sm_pid" 2>/dev/null
        fi
    done
}

_sm_catches() {
    case $1 in HUP) _sm_bit=0 ;; INT) _sm_bit=1 ;; QUIT) _sm_bit=2 ;; USR1) _sm_bit=9 ;; USR2) _sm_bit=11 ;; *) _sm_bit=14 ;; esac
    while read -r _sm_field _sm_mask; do
        [ "$_sm_field" = SigCgt: ] && break
    done 2>/dev/null <"/proc/$2/status"
    [ "$((0x${_sm_mask:-0} >> _sm_bit & 1))" = 1 ]
}

_sm_pass() {
    if [ "$_sm_group" ]; then _sm_send "$1"; else _sm_early="$_sm_early $1"; fi
    case $1 in USR1 | USR2 | HUP) ;; *) _sm_told=1 ;; esac
}

_sm_terminate() {
    if [ "$_sm_delay_s" ] && [ "$_sm_group" ]; then
        # The next SIGTERM may come between any two commands of this one, and this one between a `&` and its `$!`.
        _sm_told=1 _sm_wait_s=$_sm_delay_s _sm_delay_s=""
        ({ sleep "$_sm_wait_s"; _sm_send "${SLOT_MACHINE_STOP_SIGNAL:-TERM}"; } 2>/dev/null &)
    elif [ "$_sm_group" ]; then
        _sm_pass "${SLOT_MACHINE_STOP_SIGNAL:-TERM}"
    else
        _sm_pass TERM
    fi
}

# A pipe without a name: 7 reads it, 8 writes it. Every container has a writable /dev/shm, which others may share.
_sm_open_pipe() {
    for _sm_folder in /dev/shm /tmp /run "${TMPDIR:-/var/tmp}"; do
        _sm_pipe=$(mktemp -d "$_sm_folder/.slot-machine-XXXXXX" 2>/dev/null) || continue
        mkfifo "$_sm_pipe/pipe" && exec 8<>"$_sm_pipe/pipe" 7<"$_sm_pipe/pipe"
        rm -rf "$_sm_pipe"
        return
    done
    _sm_fail "cannot make a pipe in /dev/shm or /tmp"
}

# `&` would make the command ignore SIGINT and SIGQUIT, and no sh can undo that. So the command is started in the
# foreground of a shell which then kills itself: it becomes a child of process 1, in a session of its own. `_sm_hold`
# waits for it there, and tells its exit code through the pipe. 6 and 4 are the command's
# stderr. What the shells themselves say, such as "Terminated", is not shown.
_sm_start() {
    _sm_delay_s="" _sm_group="" _sm_early="" _sm_told="" _sm_whom=$1
    shift
    if [ "${SLOT_MACHINE_STOP_DELAY_MS:-0}" -gt 0 ] 2>/dev/null; then
        _sm_delay_s=$(printf '%d.%03d' $((SLOT_MACHINE_STOP_DELAY_MS / 1000)) $((SLOT_MACHINE_STOP_DELAY_MS % 1000)))
    fi
    trap _sm_terminate TERM
    for _sm_signal in INT HUP QUIT USR1 USR2; do
        # shellcheck disable=SC2064
        trap "_sm_pass $_sm_signal" "$_sm_signal"
    done
    _sm_load_variables
    _sm_make_shared
    [ "$#" -gt 1 ] || set -- /bin/sh -c "$1"
    if [ -t 0 ]; then
        # Only the terminal's own processes can read from it. It sends their signals.
        "$@"
        exit
    fi
    _sm_open_pipe
    {
        /bin/sh -c 'setsid /bin/sh "$@" >&3 2>&4 | kill -s KILL $$' sh "$0" hold "$@" 3>&1 4>&6 9>&8 6>&- 7<&- 8>&-
    } 6>&2 2>/dev/null
    [ "$?" = 137 ] || _sm_fail "cannot start a process"
    _sm_first="" _sm_main=""
    until [ "$_sm_main" ]; do
        read -r _sm_first _sm_main <&7
    done
    exec 8>&-
    _sm_group=$_sm_first
    for _sm_signal in $_sm_early; do
        if [ "$_sm_signal" = TERM ]; then _sm_terminate; else _sm_pass "$_sm_signal"; fi
    done
    _sm_await
    # A shell that only waited for the app has ended before it.
    while [ "$_sm_told" ] && kill -0 "-$_sm_group" 2>/dev/null; do
        sleep 0.1 2>/dev/null || sleep 1
    done
    exit "$_sm_code"
}

_sm_hold() {
    trap : TERM INT HUP QUIT USR1 USR2
    { /bin/sh -c 'echo "$PPID $$" >&9; exec 2>&4 3>&- 4>&- 9>&-; exec "$@"' sh "$@"; } 2>/dev/null
    echo "$?" >&9
}

# `wait` ends when a signal comes, too. In bash that may be one whose trap ran before this `wait`.
_sm_await() {
    (
        _sm_code=""
        read -r _sm_code <&7
        exit "${_sm_code:-137}"
    ) &
    _sm_reader=$!
    exec 7<&-
    while :; do
        wait "$_sm_reader"
        _sm_code=$?
        kill -0 "$_sm_reader" 2>/dev/null || break
    done
    # It ended together with a signal: only a second `wait` has its code, if the first one did not.
    wait "$_sm_reader" 2>/dev/null
    _sm_again=$?
    [ "$_sm_again" = 127 ] || _sm_code=$_sm_again
}

# --- Health ---

# By which of its programs the image can send and read bytes.
_sm_client() {
    for _sm_program in bash python3 ruby php node bun; do
        command -v "$_sm_program" >/dev/null && echo "$_sm_program" && return
    done
    if command -v busybox >/dev/null && busybox nc --help >/dev/null 2>&1; then
        echo nc
        return
    fi
    for _sm_program in curl wget; do
        command -v "$_sm_program" >/dev/null && echo "$_sm_program" && return
    done
}

# The head of the reply to the request in $3, from address $1 and port $2. $4 is the URL, $5 and $6 header fields.
_sm_ask() {
    case $(_sm_client) in
    bash) bash -c 'exec 3<>"/dev/tcp/$1/$2" || exit; printf %s "$3" >&3
        while IFS= read -r -t 5 line <&3; do printf "%s\n" "$line"; [ "${#line}" -gt 1 ] || break; done' bash "$@" ;;
    python3) python3 -c 'import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.sendall(sys.argv[3].encode()); f = s.makefile("rb")
while (line := f.readline(65536)).strip(): sys.stdout.buffer.write(line)' "$@" ;;
    ruby) ruby -rsocket -e 's = Socket.tcp(ARGV[0], ARGV[1], connect_timeout: 5); s.write(ARGV[2])
while (line = s.gets) && line.strip != "" do puts line end' "$@" ;;
    php) php -r '$a = strpos($argv[1], ":") === false ? $argv[1] : "[$argv[1]]"; $s = fsockopen($a, (int) $argv[2], $e, $m, 5);
if (!$s) { exit(1); } stream_set_timeout($s, 5); fwrite($s, $argv[3]);
while (($line = fgets($s)) !== false && trim($line) !== "") { echo $line; }' -- "$@" ;;
    node | bun) "$(_sm_client)" -e 'const [host, port, text] = process.argv.slice(-6); let seen = ""
const s = require("net").connect(port, host, () => s.write(text)); s.setTimeout(5000, () => s.destroy())
s.on("error", () => process.exit(1)); s.on("close", () => { console.log(seen.split("\r\n\r\n")[0]); process.exit(0) })
s.on("data", (data) => { seen += data; if (seen.includes("\r\n\r\n")) s.destroy() })' -- "$@" ;;
    nc) printf %s "$3" | busybox nc -w 5 "$1" "$2" ;;
    curl) curl -sS -i -m 5 -H "$5" ${6:+-H "$6"} "$4" ;;
    wget) wget -q -S -O /dev/null -T 5 -t 1 --max-redirect=0 --header="$5" ${6:+--header="$6"} "$4" 2>&1 ;;
    esac 2>/dev/null
}

# Sets _sm_status, empty if no reply came, and _sm_location.
_sm_question() {
    _sm_host=$1 _sm_field=$2 _sm_status="" _sm_location=""
    case $_sm_host in *:*) _sm_authority=[$_sm_host] ;; *) _sm_authority=$_sm_host ;; esac
    _sm_named=${_sm_health_host:-$_sm_authority:$_sm_port}
    _sm_request=$(printf 'GET %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nConnection: close\r\n%s\r\nx' \
        "$_sm_path" "$_sm_named" "${_sm_field:+$_sm_field$_sm_cr
}")
    _sm_head=$(_sm_ask "$_sm_host" "$_sm_port" "${_sm_request%x}" "http://$_sm_authority:$_sm_port$_sm_path" \
        "Host: $_sm_named" "$_sm_field")
    while IFS= read -r _sm_line; do
        _sm_line=${_sm_line%"$_sm_cr"}
        _sm_line=${_sm_line#"${_sm_line%%[! ]*}"}
        case $_sm_line in
        HTTP/1.[01]\ [2-5][0-9][0-9]*)
            [ "$_sm_status" ] && break
            _sm_status=${_sm_line#HTTP/1.? }
            _sm_status=${_sm_status%% *}
            ;;
        [Ll][Oo][Cc][Aa][Tt][Ii][Oo][Nn]:*)
            _sm_location=${_sm_line#*:}
            _sm_location=${_sm_location#"${_sm_location%%[! ]*}"}
            ;;
        '') [ "$_sm_status" ] && break ;;
        esac
    done <<END
$_sm_head
END
}

# Sets _sm_elsewhere to `https` or a host if the reply leads away from scheme $1 and the host that was asked.
_sm_judge() {
    _sm_elsewhere=""
    case $_sm_status in 301 | 302 | 303 | 307 | 308) ;; *) _sm_location="" ;; esac
    case $_sm_location in
    "$1"://* | //*)
        _sm_there=${_sm_location#*//}
        _sm_there=${_sm_there%%[/?#]*}
        [ "${_sm_there%:*}" = "${_sm_named%:*}" ] || _sm_elsewhere=$_sm_there
        ;;
    https://*) _sm_elsewhere=https ;;
    http://*) _sm_elsewhere=http ;;
    esac
    [ "${_sm_status:-0}" -ge "$_sm_first" ] && [ "$_sm_status" -le "$_sm_last" ] || return 1
    [ -z "$_sm_elsewhere" ] || [ "$_sm_first" = "$_sm_last" ]
}

# Whether nobody can reach the app from outside of the container. Sockets that listen come first in these files.
_sm_is_hidden() {
    _sm_hex=$(printf '%04X' "$PORT") _sm_hidden=1
    for _sm_file in /proc/net/tcp /proc/net/tcp6; do
        [ -r "$_sm_file" ] || continue
        while read -r _sm_slot _sm_local _sm_remote _sm_state _; do
            [ "$_sm_slot" = sl ] && continue
            [ "$_sm_state" = 0A ] || break
            case $_sm_local in
            ??????7F:"$_sm_hex" | 7F??????:"$_sm_hex" | 0000000000000000000000000[01]00000[01]:"$_sm_hex") _sm_hidden=0 ;;
            *:"$_sm_hex") return 1 ;;
            esac
        done <"$_sm_file"
    done
    return "$_sm_hidden"
}

_sm_health() {
    _sm_port=${INTERNAL_PORT:-$PORT}
    _sm_path=$1 _sm_first=${2%-*} _sm_last=${2#*-} _sm_health_host=${3:-}
    _sm_is_hidden && _sm_fail "the app listens on 127.0.0.1 only, where nobody else reaches it: let it listen on 0.0.0.0" 1
    for _sm_host in 127.0.0.1 ::1 "${HOSTNAME:-localhost}"; do
        _sm_question "$_sm_host" ""
        [ "$_sm_status" ] && break
    done
    [ "$_sm_status" ] || _sm_fail "no answer on port $_sm_port" 1
    if ! _sm_judge http; then
        _sm_said="$_sm_status${_sm_location:+ (to $_sm_location)}"
        [ "$_sm_elsewhere" = https ] || _sm_fail "$_sm_path answered $_sm_said, not $2" 1
        # As if the question had come over HTTPS. The same redirect again: the app does not trust the field.
        _sm_question "$_sm_host" "X-Forwarded-Proto: https"
        [ "$_sm_said" != "$_sm_status${_sm_location:+ (to $_sm_location)}" ] && _sm_judge https ||
            _sm_fail "$_sm_path answered $_sm_said, not $2" 1
    fi
    echo "$_sm_status"
}

_sm_mode=${1:-}
[ "$#" -eq 0 ] || shift
case $_sm_mode in
run | worker | hold | health) [ "$#" -gt 0 ] || _sm_fail "$_sm_mode: what?" 2 ;;
esac
case $_sm_mode in
run) _sm_start group "$@" ;;
worker) _sm_start main "$@" ;;
hold) _sm_hold "$@" ;;
health) _sm_health "$@" ;;
check) _sm_check ;;
*) _sm_fail "usage: run COMMAND, worker COMMAND, health PATH STATUSES [HOST], check" 2 ;;
esac
