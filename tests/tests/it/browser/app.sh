#!/bin/sh
# One connection of an app that busybox nc has taken: a page, what a request had in it, cookies for
# every host of the domain, or a WebSocket that says back what it hears.
export LC_ALL=C
cr=$(printf '\r')
read -r _ path _
head='' key=''
while read -r line; do
  line=${line%"$cr"}
  [ -n "$line" ] || break
  case "$line" in
    [Ss]ec-[Ww]eb[Ss]ocket-[Kk]ey:*) key=${line#*: } ;;
  esac
  head="$head$line
"
done

# answer BODY [LINE...]: with more lines of the head.
answer() {
  body=$1
  shift
  printf 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: %s\r\n' "${#body}"
  [ $# = 0 ] || printf '%s\r\n' "$@"
  printf '\r\n%s' "$body"
}

# bytes COUNT: so many of the connection, as numbers.
bytes() { dd bs=1 count="$1" 2>/dev/null | od -An -v -tu1; }

# Short frames of text only.
echo_frames() {
  sum=$(printf '%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11' "$key" | sha1sum | cut -d ' ' -f 1)
  printf 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
  printf 'Sec-WebSocket-Accept: %s\r\n\r\n' "$(printf '%s' "$sum" | xxd -r -p | base64)"
  while :; do
    # shellcheck disable=SC2046
    set -- $(bytes 6)
    [ $# = 6 ] && [ "$1" = 129 ] || return
    length=$(($2 & 127)) mask="$3 $4 $5 $6"
    printf "\\201\\$(printf '%03o' "$length")"
    # shellcheck disable=SC2086,SC2046
    for byte in $(bytes "$length"); do
      set -- $mask
      printf "\\$(printf '%03o' $((byte ^ $1)))"
      mask="$2 $3 $4 $1"
    done
  done
}

case "$path" in
  /ws) echo_frames ;;
  /seen) answer "<pre>$head</pre>" ;;
  /toss)
    all='Path=/; Secure'
    answer 'tossed' \
      "Set-Cookie: __Host-rigbox-app=tossed; Domain=rigbox.localhost; $all" \
      "Set-Cookie: __Host-rigbox-state=tossed; Domain=rigbox.localhost; $all" \
      "Set-Cookie: __HOST-RIGBOX-APP=tossed; Domain=rigbox.localhost; $all" \
      "Set-Cookie: =__Host-rigbox-app=tossed; Domain=rigbox.localhost; $all" \
      "Set-Cookie: rigbox-app=tossed; Domain=rigbox.localhost; $all" \
      "Set-Cookie: letters=äöü; Domain=rigbox.localhost; $all"
    ;;
  *) answer "<title>app</title><p>from the workspace, $path</p>" ;;
esac
