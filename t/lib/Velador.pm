# SPDX-License-Identifier: GPL-2.0-or-later
package Velador;
# Starts and stops a Velador of its own for a test: own directory, free ports, a configuration made from a hash. Also SIPp, and waiting for
# conditions. Core modules only. What a test started ends with it, by process id.
#
#	my $v = Velador->start('gateway pbx' => { role => 'caller', source => '127.0.0.1' }, session => { ttl => '90s' });
#	$v->addr          127.0.0.1:PORT, where it listens
#	$v->ctl('calls')  what `veladorctl calls --json` prints, decoded
#	$v->wait_records(2)->[0]{reason}
use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Cwd qw(abs_path);
use IO::Socket::IP;
use JSON::PP;
use POSIX qw(:sys_wait_h);
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT_OK = qw(wait_for pause now free_port slurp spawn reap alone plan_of sipp sipp_ok build_dir source_dir);

my $here = dirname(abs_path(__FILE__));
my $owner = $$;
my %running;    # pid => what; only what this process started

sub source_dir { return $ENV{VELADOR_SRC} ? abs_path($ENV{VELADOR_SRC}) : dirname(dirname($here)) }
sub build_dir  { return $ENV{VELADOR_BUILD} ? abs_path($ENV{VELADOR_BUILD}) : source_dir() }

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# One short nap between two looks at a condition; tests wait for conditions, never for a time.
sub pause { select(undef, undef, undef, shift // 0.01); return }

# Polls until the condition returns something true, and returns that; undef when the time is over.
sub wait_for {
	my ($condition, $timeout_s, $what) = @_;
	my $end = now() + ($timeout_s // 5);
	while (1) {
		my $got = $condition->();
		return $got if $got;
		last if now() > $end;
		pause();
	}
	diag("waited in vain for $what") if defined $what;
	return;
}

# A port free for UDP on that address, from below the kernel's own range so that no outgoing socket takes it meanwhile.
my %given;
sub free_port {
	my $host = shift // '127.0.0.1';
	for (1 .. 1000) {
		my $port = 10000 + int rand 22000;
		next if $given{$port}++;
		my $s = IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Type => SOCK_DGRAM, Proto => 'udp') or next;
		close $s;
		return $port;
	}
	die "no free port on $host\n";
}

sub slurp {
	my $file = shift;
	open my $f, '<', $file or return '';
	local $/;
	return scalar(<$f>) // '';
}

# Starts a program with its output in a file; returns its pid.
sub spawn {
	my ($what, $output, @command) = @_;
	my $pid = fork // die "fork: $!\n";
	if (!$pid) {
		open STDIN, '<', '/dev/null' or POSIX::_exit(127);
		open STDOUT, '>>', $output or POSIX::_exit(127);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(127);
		{ no warnings 'exec'; exec { $command[0] } @command; }
		POSIX::_exit(127);
	}
	$running{$pid} = $what;
	return $pid;
}

# Waits for a program to end; returns its wait status, or undef when the time is over.
sub reap {
	my ($pid, $timeout_s) = @_;
	my $status;
	wait_for(sub { my $got = waitpid($pid, WNOHANG); $status = $? if $got == $pid; $status = -1 if $got == -1; return $got }, $timeout_s);
	delete $running{$pid} if defined $status;
	return $status;
}

sub _end {
	my ($pid, $grace_s) = @_;
	kill 'TERM', $pid;
	my $status = reap($pid, $grace_s);
	return $status if defined $status;
	diag("$running{$pid} (pid $pid) did not end within $grace_s s and was killed");
	kill 'KILL', $pid;
	return reap($pid, 5);
}

END {
	if ($$ == $owner) {
		local $?;
		_end($_, 3) for grep { $running{$_} } keys %running;
	}
}

# Runs the rest of this test in a network namespace with nothing but loopback, so that no fault can send a packet anywhere; with mounts of its own, too.
sub alone {
	if (($ENV{VELADOR_ALONE} // '') eq '1') {
		return system('ip', 'link', 'set', 'lo', 'up') == 0 || die "loopback does not come up\n";
	}
	system('unshare -n -m true 2>/dev/null') == 0 or plan(skip_all => 'needs unshare -n -m (root)');
	$ENV{VELADOR_ALONE} = 1;
	exec 'unshare', '-n', '-m', $^X, (map { "-I$_" } $here), $0, @ARGV or die "unshare: $!\n";
}

# ---------------------------------------------------------------- the daemon

sub _ini {
	my %sections = @_;
	my $text = '';
	for my $name (sort { ($a =~ /^gateway/ ? 1 : 0) <=> ($b =~ /^gateway/ ? 1 : 0) || $a cmp $b } keys %sections) {
		$text .= "[$name]\n";
		for my $key (sort keys %{ $sections{$name} }) {
			my $value = $sections{$name}{$key};
			$text .= "$key = $_\n" for grep { defined } ref $value ? @$value : $value;
		}
	}
	return $text;
}

# A Velador with these sections over the defaults; does not return before it is ready. Listens on one free port unless [listen] says otherwise.
sub start {
	my ($class, %sections) = @_;
	my $self = $class->prepare(%sections);
	return $self->run;
}

# The same without starting it.
sub prepare {
	my ($class, %sections) = @_;
	my $dir = tempdir('velador-t-XXXXXX', TMPDIR => 1, CLEANUP => 1);
	my %ini = (
		velador => { workers => 2, run_dir => $dir, shm_file => "$dir/arena", max_calls => 2000, log => 'stderr' },
		listen  => {},
		record  => { file => "$dir/calls.json" },
	);
	for my $name (keys %sections) {
		$ini{$name} = { %{ $ini{$name} // {} }, %{ $sections{$name} } };
	}
	$ini{listen}{udp} //= '127.0.0.1:' . free_port();
	my $first = ref $ini{listen}{udp} ? $ini{listen}{udp}[0] : $ini{listen}{udp};
	my $self = bless { dir => $dir, ini => \%ini, addr => $first, log => "$dir/log", record => $ini{record}{file} }, $class;
	$self->write_ini(%ini);
	return $self;
}

sub write_ini {
	my ($self, %sections) = @_;
	$self->{ini} = \%sections;
	open my $f, '>', "$self->{dir}/velador.ini" or die "$self->{dir}: $!\n";
	print $f _ini(%sections);
	close $f or die "$self->{dir}: $!\n";
	return;
}

# Changes some keys in the file (section => {key => value}); the caller asks for the reload.
sub change_ini {
	my ($self, %sections) = @_;
	my %ini = %{ $self->{ini} };
	$ini{$_} = { %{ $ini{$_} // {} }, %{ $sections{$_} } } for keys %sections;
	return $self->write_ini(%ini);
}

sub run {
	my ($self, @options) = @_;
	my $program = $ENV{VELADOR_PROGRAM} // build_dir() . '/velador';
	$self->{pid} = spawn('velador', $self->{log}, $program, '-c', "$self->{dir}/velador.ini", @options);
	my $from = -s $self->{log} // 0;
	my $ready = wait_for(sub {
		return 1 if substr(slurp($self->{log}), $from) =~ /\bready$/m;
		return -1 if waitpid($self->{pid}, WNOHANG) == $self->{pid};
		return 0;
	}, 20);
	if (!$ready || $ready < 0) {
		diag("velador did not get ready; its log:\n" . slurp($self->{log}) . "its configuration:\n" . slurp("$self->{dir}/velador.ini"));
		delete $running{ $self->{pid} } if $ready;
		die "velador did not get ready\n";
	}
	return $self;
}

sub addr { return $_[0]{addr} }
sub dir  { return $_[0]{dir} }
sub pid  { return $_[0]{pid} }
sub port { return ($_[0]{addr} =~ /:(\d+)$/)[0] }
sub log_text { return slurp($_[0]{log}) }

# Stops it orderly; returns its wait status (0 = left as it should).
sub stop {
	my $self = shift;
	return unless $self->{pid};
	my $status = _end(delete $self->{pid}, 10);
	return $status;
}

# veladorctl: (exit status, standard output, standard error).
sub ctl_raw {
	my ($self, @command) = @_;
	my ($out, $err) = ("$self->{dir}/ctl.out", "$self->{dir}/ctl.err");
	my $pid = fork // die "fork: $!\n";
	if (!$pid) {
		open STDOUT, '>', $out or POSIX::_exit(127);
		open STDERR, '>', $err or POSIX::_exit(127);
		exec build_dir() . '/veladorctl', '-s', "$self->{dir}/control.sock", @command or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	return ($? >> 8, slurp($out), slurp($err));
}

sub ctl {
	my ($self, @command) = @_;
	my ($status, $out, $err) = $self->ctl_raw(@command, '--json');
	if ($status) {
		diag("veladorctl @command: exit $status: $err");
		return;
	}
	my $json = eval { JSON::PP->new->utf8->allow_nonref->decode($out) };
	diag("veladorctl @command: $@in: " . substr($out, 0, 400)) if $@;
	return $json;
}

sub stats { return $_[0]->ctl('stats') // {} }
sub stat_of { my ($self, $name) = @_; return $self->stats->{$name} // 0 }

# Waits until a counter has at least that value; returns what it has.
sub wait_stat {
	my ($self, $name, $least, $timeout_s) = @_;
	my $value = 0;
	wait_for(sub { $value = $self->stat_of($name); return $value >= $least }, $timeout_s // 5, "$name >= $least");
	return $value;
}

sub wait_no_calls {
	my ($self, $timeout_s) = @_;
	return wait_for(sub { return $self->stats->{calls} eq '0' }, $timeout_s // 5, 'the last call to end');
}

# The whole lines of the record file.
sub records {
	my $self = shift;
	my @lines = slurp($self->{record}) =~ /^(.*)\n/mg;
	return [map { my $r = eval { JSON::PP->new->utf8->decode($_) }; diag("bad record: $_: $@") if $@; $r // {} } @lines];
}

sub wait_records {
	my ($self, $count, $timeout_s) = @_;
	my $records = [];
	wait_for(sub { $records = $self->records; return @$records >= $count }, $timeout_s // 5, "$count records");
	return $records;
}

# The record of one call, by Call-ID.
sub wait_record_of {
	my ($self, $call_id, $timeout_s) = @_;
	my $record = wait_for(sub { return (grep { ($_->{call_id} // '') eq $call_id } @{ $self->records })[0] }, $timeout_s // 5, "the record of $call_id");
	return $record // {};
}

# One caller network (127.0.0.1) and these gateways (name => address, or name => {keys}), as sections for start().
sub plan_of {
	my (%gateways) = @_;
	my %sections = ('gateway phones' => { role => 'caller', source => '127.0.0.1' });
	for my $name (keys %gateways) {
		my $keys = ref $gateways{$name} ? $gateways{$name} : { address => $gateways{$name} };
		$sections{"gateway $name"} = { role => 'callee', %$keys };
	}
	return %sections;
}

# The last tests of a file: no call is left, every structure is sound, no machine met an event that it does not know, and it stops as it should.
sub done_ok {
	my $self = shift;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($self->wait_no_calls(10), 'no call is left');
	is_deeply(($self->ctl('check') // {})->{problems}, [], 'veladorctl check finds nothing');
	is($self->stat_of('unlisted_event'), 0, 'no event that a table does not list');
	is($self->stop, 0, 'stops orderly') or $self->tell;
	return;
}

# Shows why a test may have failed; call it where one did.
sub tell {
	my $self = shift;
	my @tail = split /\n/, $self->log_text;
	@tail = @tail[-30 .. -1] if @tail > 30;
	diag(join "\n", 'log of velador:', @tail);
	return;
}

# ---------------------------------------------------------------- SIPp

# Starts SIPp with a scenario of t/sipp on a free port. Options: scenario, host, port, to (addr:port), count, rate, timeout (s), args => [...],
# set => { NAME => what stands for @NAME@ in the scenario }.
# Returns an object to hand to sipp_ok().
sub sipp {
	my %o = (host => '127.0.0.1', count => 1, timeout => 30, args => [], @_);
	my $dir = tempdir('velador-sipp-XXXXXX', TMPDIR => 1, CLEANUP => 1);
	$o{port} //= free_port($o{host});
	my $text = slurp(source_dir() . "/t/sipp/$o{scenario}.xml") =~ s/\@([A-Z]+)\@/$o{set}{$1}/gr;
	my $file = "$dir/$o{scenario}.xml";
	open my $f, '>', $file or die "$file: $!\n";
	print $f $text;
	close $f;
	my @command = ('sipp', '-sf', $file, '-i', $o{host}, '-p', $o{port}, '-m', $o{count}, '-nostdin', '-trace_err', '-error_file', "$dir/errors",
		'-timeout', $o{timeout}, '-timeout_error', ($o{rate} ? ('-r', $o{rate}) : ()), @{ $o{args} }, ($o{to} ? $o{to} : ()));
	my $self = { %o, dir => $dir, errors => "$dir/errors", screen => "$dir/screen" };
	local $ENV{TERM} = 'dumb';
	$self->{pid} = spawn("sipp $o{scenario}", $self->{screen}, @command);
	# One that calls may have ended before we look.
	wait_for(sub { return _bound($o{port}) || defined($self->{status} = reap($self->{pid}, 0)) }, 5, "sipp $o{scenario} to listen");
	return $self;
}

# Read, not tried: to bind the port would take it from the program that is just about to.
sub _bound {
	my ($port) = @_;
	return (slurp('/proc/net/udp') . slurp('/proc/net/udp6')) =~ /^ *\d+: [0-9A-F]+:\Q${\sprintf '%04X', $port}\E /m;
}

# One test: every one of these SIPps ends, and all its calls were good.
sub sipp_ok {
	my ($title, @sipps) = @_;
	my $good = 1;
	for my $s (@sipps) {
		my $status = $s->{status} // reap($s->{pid}, $s->{timeout} + 5);
		next if defined $status && $status == 0;
		$good = 0;
		_end($s->{pid}, 1) unless defined $status;
		my @errors = split /\n/, slurp($s->{errors});
		@errors = @errors[0 .. 39] if @errors > 40;
		diag(join "\n", "sipp $s->{scenario}: " . (defined $status ? 'exit ' . ($status >> 8) : 'did not end'), @errors);
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($good, $title);
}

1;
