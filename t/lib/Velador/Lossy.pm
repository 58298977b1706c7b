# SPDX-License-Identifier: GPL-2.0-or-later
package Velador::Lossy;
# A caller and a gateway that speak RFC 3262 by themselves, many calls at once, over a network that loses: each datagram that one of them sends or gets is lost with a
# given probability, by a seeded draw. Every call rings (reliable 180), has early media (reliable 183 with a description of its own), is answered without description
# once both are acknowledged, and hung up by the caller. What came to the caller of each call, in order, is kept: a reliable response once, whatever is repeated.
#
#	my $run = Velador::Lossy->run(to => $v->addr, gateway => $gateway, calls => 1000, loss => 0.3, rate => 40, seconds => 120, seed => 1, each => sub { ... });
#	$run->{bad}     { what went wrong => how often }, empty where every call was as it should be
#
# A gateway is made before the run, for the configuration: Velador::Lossy->gateway; it is reliable where its INVITE offers 100rel. `lose` of a run may be a sub
# (datagram, 'in' or 'out', peer) that decides instead of the draw.
use strict;
use warnings;
use parent -norequire, 'Velador::Peer';
use Velador ();
use Velador::Peer;

use constant { T1_S => 0.1, CAP_S => 1.6, GIVE_UP_S => 32 };

my %resends;    # key => { peer, bytes, at, wait, cap, until }
my $lose = sub { 0 };
my ($sent, $lost);

sub send {
	my ($self, $bytes, $to) = @_;
	$self->{kept} = [$bytes, $to];
	$sent++;
	return $lost++ || 1 if $lose->($bytes, 'out', $self);
	return $self->SUPER::send($bytes, $to);
}

sub _resend {
	my ($key, $peer, $bytes, $cap) = @_;
	$resends{$key} = { peer => $peer, bytes => $bytes, at => Velador::now() + T1_S, wait => T1_S, cap => $cap // CAP_S, until => Velador::now() + GIVE_UP_S };
	return;
}

sub _tick {
	my $now = Velador::now();
	for my $key (keys %resends) {
		my $r = $resends{$key};
		next if $r->{at} > $now;
		if ($now > $r->{until}) { delete $resends{$key}; next }
		$r->{wait} = 2 * $r->{wait} < $r->{cap} ? 2 * $r->{wait} : $r->{cap};
		$r->{at} += $r->{wait};
		$r->{peer}->send(@{ $r->{bytes} });
	}
	return;
}

# ---------------------------------------------------------------- the gateway

sub gateway {
	my ($class, %o) = @_;
	my $self = $class->SUPER::new(name => 'gateway', %o);
	$self->auto(sub { my $m = shift; $self->_at_gateway($m) unless $lose->($m->{raw}, 'in', $self) && ++$lost; return 1 });
	return $self;
}

# Answers and remembers the answer, so that a repeat gets it again; resends it by key.
sub _answer {
	my ($self, $m, $status, %o) = @_;
	my ($key, $cap) = (delete $o{key}, delete $o{cap});
	local $self->{kept};
	$self->reply($m, $status, %o);
	my $bytes = $self->{answers}{ $m->branch . $m->{method} } = $self->{kept};
	_resend($key, $self, $bytes, $cap) if $key;
	return;
}

sub _at_gateway {
	my ($self, $m) = @_;
	my $id = $m->call_id;
	my $call = $self->{of}{$id};
	return unless $m->is_request;
	if ($m->{method} eq 'ACK') { delete $resends{"g$id"}; return }
	if (my $again = $self->{answers}{ $m->branch . $m->{method} }) { $self->send(@$again); return }
	if ($m->{method} eq 'INVITE') {
		$call = $self->{of}{$id} = { invite => $m, rseq => 1 + int rand 2**30, step => 0 };
		return $self->_plainly($m) unless grep { /\b100rel\b/ } $m->all('Supported'), $m->all('Require');
		$self->_answer($m, 180, rseq => $call->{rseq}, key => "g$id", cap => GIVE_UP_S);
	} elsif ($m->{method} eq 'PRACK' && $call) {
		my $is = ($m->h('RAck') =~ /^(\d+)/)[0] == $call->{rseq} && $call->{step} < 2;
		$self->_answer($m, $is ? 200 : 481);
		return $self->{bad}{'PRACK that fits nothing'}++ unless $is;
		if (++$call->{step} == 1) {
			my ($number) = $call->{invite}{body} =~ /^o=- 4711 (\d+)/m;
			$self->_answer($call->{invite}, 183, rseq => ++$call->{rseq}, sdp => { version => $number }, key => "g$id", cap => GIVE_UP_S);
		} else {
			$self->_answer($call->{invite}, 200, key => "g$id");
		}
	} else {
		$self->_answer($m, 200);
	}
	return;
}

# An INVITE that does not offer 100rel: both provisional responses once, and the 200.
sub _plainly {
	my ($self, $m) = @_;
	my ($number) = $m->{body} =~ /^o=- 4711 (\d+)/m;
	$self->_answer($m, 180);
	$self->_answer($m, 183, sdp => { version => $number });
	$self->_answer($m, 200, sdp => { version => $number }, key => 'g' . $m->call_id);
	return;
}

# ---------------------------------------------------------------- the caller

sub _start {
	my ($self, $number) = @_;
	my $d = $self->dialog(user => '100', call_id => "$number-" . Velador::Peer::unique() . '@lossy');
	my $call = $self->{of}{ $d->{call_id} } = { d => $d, number => $number, came => [] };
	my $bytes = $d->invite(sdp => { version => $number }, headers => [['Supported', '100rel']]);
	_resend("i$d->{call_id}", $self, [$bytes]);
	return;
}

sub _at_caller {
	my ($self, $m) = @_;
	my $call = $self->{of}{ $m->call_id } or return;
	my ($d, $id) = ($call->{d}, $m->call_id);
	return if $m->is_request;
	delete $resends{ ($m->cseq_method eq 'INVITE' ? 'i' : $m->cseq_method eq 'PRACK' ? 'p' . $m->cseq : 'b') . $id };
	if ($m->cseq_method eq 'INVITE') { $self->_progress($call, $m) }
	elsif ($m->cseq_method eq 'PRACK') { $self->{bad}{"PRACK answered $m->{status}"}++ if $m->{status} >= 300 }
	elsif ($m->cseq_method eq 'BYE') { $self->{done}++ unless $call->{done}++ }
	return;
}

sub _progress {
	my ($self, $call, $m) = @_;
	my ($d, $rseq) = ($call->{d}, $m->h('RSeq'));
	if ($m->{status} < 200) {
		return if $call->{final} || $m->{status} == 100 || ($rseq && $call->{rseq} && $rseq != $call->{rseq} + 1);
		$call->{rseq} = $rseq;
		push @{ $call->{came} }, $m->{status} . ($m->{body} =~ /^o=- 4711 (\d+)/m ? ":$1" : '');
		return unless $rseq;
		my $bytes = $d->prack($m);
		_resend("p$d->{cseq}$d->{call_id}", $self, [$bytes]);
		return;
	}
	push @{ $call->{came} }, $m->{status} unless $call->{final}++;
	if ($m->{status} >= 300) {
		$d->ack_failure($m);
		$self->{done}++ unless $call->{done}++;
		return;
	}
	$d->learn($m)->ack;
	return if $call->{bye};
	$call->{bye} = 1;
	_resend("b$d->{call_id}", $self, [$d->bye]);
	return;
}

# ---------------------------------------------------------------- a run

sub run {
	my ($class, %o) = @_;
	%o = (calls => 100, loss => 0, rate => 50, seconds => 60, seed => 1, %o);
	srand $o{seed};
	%resends = ();
	($sent, $lost) = (0, 0);
	$lose = $o{lose} // sub { return rand() < $o{loss} };
	my $self = $class->SUPER::new(name => 'caller', to => $o{to});
	$self->auto(sub { my $m = shift; $self->_at_caller($m) unless $lose->($m->{raw}, 'in', $self) && ++$lost; return 1 });
	my ($begun, $started) = (Velador::now(), 0);
	$self->{done} = 0;
	while ($self->{done} < $o{calls} && Velador::now() - $begun < $o{seconds}) {
		$self->_start(++$started) while $started < $o{calls} && $started <= (Velador::now() - $begun) * $o{rate};
		Velador::Peer::pump(0.005);
		_tick();
		$o{each}->() if $o{each};
	}
	my %bad = (%{ $self->{bad} // {} }, %{ $o{gateway}{bad} // {} });
	for my $call (values %{ $self->{of} }) {
		my $came = join ' ', @{ $call->{came} };
		$bad{"came '$came'"}++ unless $came eq "180 183:$call->{number} 200";
		$bad{'not ended'}++ unless $call->{done};
	}
	my $result = { bad => \%bad, seconds => Velador::now() - $begun, sent => $sent, lost => $lost, calls => $started };
	# Repeats that are still under way end with the calls.
	$lose = sub { 0 };
	my $until = Velador::now() + ($o{linger} // 0.5);
	while (Velador::now() < $until) { Velador::Peer::pump(0.01); _tick() }
	$self->close;
	return $result;
}

# For `each` of a run: kills a worker and the timer process in turn, every so many seconds, by the pid that `veladorctl status` tells. killed: how many of each.
sub killer {
	my ($v, $every_s) = @_;
	my ($next, $turn, %killed) = (Velador::now() + $every_s, 0);
	return {
		killed => \%killed,
		each   => sub {
			return if Velador::now() < $next;
			$next += $every_s;
			my @all = grep { $_->{pid} && $_->{state} eq 'running' } @{ ($v->ctl('status') // {})->{processes} // [] };
			my $kind = $turn++ % 2 ? 'timer' : 'worker';
			my @of = grep { $_->{kind} eq $kind } @all or return;
			kill('KILL', $of[ ($turn / 2) % @of ]{pid}) and $killed{$kind}++;
			return;
		},
	};
}

1;
