/* Many phones' media: each flow is a UDP socket that talks 50 packets a second and listens, with the kernel's receive times.
 *
 *   phones COUNT MARK        MARK: the byte of the audio they send
 *
 * Standard output: one line with their COUNT ports. Then standard input, a line each:
 *   talk FLOW PORT           this flow sends to 127.0.0.1:PORT from now on
 *   hush FLOW                and no more
 *   measure SECONDS          what comes in the next seconds is judged; the answer is one line of JSON
 * The end of standard input is its own.
 *
 * Phones are not in step: ten groups, 2 ms apart. A socket is read each 100 ms: only the kernel's times count, not when they are read. A
 * flow's rate is taken between its first and last packet of the window, so that whole packets do not count at the window's edges; one that
 * ended in the window is "silent". Deviation is what a gap between two packets differs from 20 ms.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { GROUPS = 10, READERS = 50, HEADER = 12, PACKET = 172, BATCH = 16, BUCKETS = 20000, LINE = 256 };
#define SLOT_NS 2000000LL
#define FRAME_NS 20000000LL
#define BUCKET_NS 50000LL
#define SILENT_NS 200000000LL

struct flow {
    int descriptor, talks, seen;
    struct sockaddr_in peer;
    uint16_t sent_sequence, heard_sequence;
    uint32_t timestamp, packets;
    int64_t first, last;
};

static struct flow *flows;
static int count;
static uint64_t deviations[BUCKETS + 1], gaps, lost, sent, due;
static int64_t window_from, window_to, widest;

static int64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void sleep_until(int64_t when) {
    struct timespec t = {when / 1000000000LL, when % 1000000000LL};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int open_flow(struct flow *flow, int index) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof any;
    int on = 1, bytes = 1 << 19;
    flow->descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (flow->descriptor < 0 || bind(flow->descriptor, (void *)&any, size)) return -1;
    setsockopt(flow->descriptor, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(flow->descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    getsockname(flow->descriptor, (void *)&any, &size);
    flow->sent_sequence = (uint16_t)(index * 40503u); /* as real phones begin: anywhere (RFC 3550 section 5.1) */
    return ntohs(any.sin_port);
}

static void talk(struct flow *flow, uint8_t *packet, int index) {
    uint16_t sequence = htons(++flow->sent_sequence);
    uint32_t timestamp = htonl(flow->timestamp += 160), source = htonl(0x1000u + index);
    memcpy(packet + 2, &sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &source, 4);
    due++;
    sent += sendto(flow->descriptor, packet, PACKET, MSG_DONTWAIT, (void *)&flow->peer, sizeof flow->peer) == PACKET;
}

static int64_t received_at(struct msghdr *message) {
    struct timespec t = {0, 0};
    for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h))
        if (h->cmsg_type == SCM_TIMESTAMPNS) memcpy(&t, CMSG_DATA(h), sizeof t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void judge(struct flow *flow, const uint8_t *packet, unsigned bytes, int64_t at) {
    if (bytes < HEADER || (packet[0] & 0xC0) != 0x80 || (packet[1] >= 192 && packet[1] <= 223)) return; /* RTCP has no schedule */
    if (at < window_from || at >= window_to) return;
    uint16_t sequence = (uint16_t)(packet[2] << 8 | packet[3]);
    if (flow->seen) {
        int step = (int16_t)(sequence - flow->heard_sequence);
        int64_t gap = at - flow->last, deviation = llabs(gap - FRAME_NS) / BUCKET_NS;
        if (step > 1 && step < 1000) lost += step - 1;
        if (gap > widest) widest = gap;
        deviations[deviation > BUCKETS ? BUCKETS : deviation]++;
        gaps++;
    } else {
        flow->first = at;
        flow->seen = 1;
    }
    flow->packets++;
    flow->heard_sequence = sequence;
    flow->last = at;
}

static void listen_to(struct flow *flow) {
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    static uint8_t data[BATCH][512], control[BATCH][128];
    for (int read = BATCH; read == BATCH;) {
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){data[i], sizeof data[i]};
            messages[i].msg_hdr = (struct msghdr){NULL, 0, &parts[i], 1, control[i], sizeof control[i], 0};
        }
        read = recvmmsg(flow->descriptor, messages, BATCH, 0, NULL);
        for (int i = 0; i < read; i++) judge(flow, data[i], messages[i].msg_len, received_at(&messages[i].msg_hdr));
    }
}

static double percentile(double share) {
    uint64_t sum = 0;
    for (int i = 0; i <= BUCKETS; i++)
        if ((sum += deviations[i]) >= share * gaps && sum) return (i + 0.5) * BUCKET_NS / 1e6;
    return 0;
}

static void begin(double seconds) {
    memset(deviations, 0, sizeof deviations);
    gaps = lost = sent = due = 0;
    widest = 0;
    for (int i = 0; i < count; i++) flows[i].packets = flows[i].seen = 0;
    window_from = now(CLOCK_REALTIME);
    window_to = window_from + (int64_t)(seconds * 1e9);
}

static void tell(void) {
    int heard = 0, off = 0, silent = 0, talking = 0;
    uint64_t packets = 0;
    double slowest = 1e9, fastest = 0, sum = 0;
    for (int i = 0; i < count; i++) {
        struct flow *flow = &flows[i];
        talking += flow->talks;
        packets += flow->packets;
        if (flow->packets < 2) continue;
        double rate = (flow->packets - 1) * 1e9 / (flow->last - flow->first);
        heard++;
        sum += rate;
        if (rate < slowest) slowest = rate;
        if (rate > fastest) fastest = rate;
        off += rate < 49.5 || rate > 50.5;
        silent += flow->last < window_to - SILENT_NS;
    }
    printf("{\"flows\": %d, \"talking\": %d, \"heard\": %d, \"silent\": %d, \"off_rate\": %d, \"rate_mean\": %.3f, \"rate_min\": %.3f, "
           "\"rate_max\": %.3f, \"packets\": %llu, \"lost\": %llu, \"dev_p50_ms\": %.3f, \"dev_p99_ms\": %.3f, \"dev_p999_ms\": %.3f, "
           "\"gap_max_ms\": %.2f, \"talked\": %.4f}\n",
           count, talking, heard, silent, off, heard ? sum / heard : 0, heard ? slowest : 0, fastest, (unsigned long long)packets,
           (unsigned long long)lost, percentile(0.5), percentile(0.99), percentile(0.999), widest / 1e6, due ? (double)sent / due : 1);
    fflush(stdout);
}

static void obey(const char *line) {
    int flow, port;
    double seconds;
    if (sscanf(line, "talk %d %d", &flow, &port) == 2 && flow >= 0 && flow < count) {
        flows[flow].peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        flows[flow].talks = 1;
    } else if (sscanf(line, "hush %d", &flow) == 1 && flow >= 0 && flow < count) {
        flows[flow].talks = 0;
    } else if (sscanf(line, "measure %lf", &seconds) == 1) {
        begin(seconds);
    }
}

/* Read what is on standard input without waiting; 0 at its end. */
static int take_orders(void) {
    static char line[LINE];
    static int length;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char data[4096];
    while (poll(&input, 1, 0) > 0) {
        ssize_t bytes = read(0, data, sizeof data);
        if (bytes <= 0) return 0;
        for (ssize_t i = 0; i < bytes; i++) {
            if (data[i] == '\n') {
                line[length] = 0;
                obey(line);
                length = 0;
            } else if (length < LINE - 1) {
                line[length++] = data[i];
            }
        }
    }
    return 1;
}

int main(int argc, char **argv) {
    struct rlimit limit;
    uint8_t packet[PACKET] = {0x80, 0};
    if (argc < 3 || (count = atoi(argv[1])) < 1) return 2;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    memset(packet + HEADER, atoi(argv[2]), PACKET - HEADER);
    flows = calloc(count, sizeof *flows);
    for (int i = 0; i < count; i++) {
        int port = open_flow(&flows[i], i);
        if (port < 0) return 3;
        printf("%d ", port);
    }
    printf("\n");
    fflush(stdout);
    int64_t start = now(CLOCK_MONOTONIC);
    for (int64_t slot = 0; take_orders(); slot++) {
        for (int i = slot % GROUPS; i < count; i += GROUPS)
            if (flows[i].talks) talk(&flows[i], packet, i);
        for (int i = slot % READERS; i < count; i += READERS) listen_to(&flows[i]);
        if (window_to && now(CLOCK_REALTIME) > window_to + SILENT_NS) { /* by now every socket was read since */
            tell();
            window_from = window_to = 0;
        }
        sleep_until(start + slot * SLOT_NS);
    }
    return 0;
}
