# SPDX-License-Identifier: GPL-2.0-or-later
package Velador::Endpoint;
# A peer that lives through calls by itself: answers refreshes, BYE and CANCEL as soon as they come, and keeps what came, by Call-ID, for the test to look at.
#
#	my $gw = Velador::Endpoint->new(name => 'gw', to => $v->addr, timer => 1, update => 1);
#	my $call = $phone->talk($gw);                 both ends, established
#	$gw->refreshes($call)->[0]{time}              requests within the dialog that refresh: UPDATE, INVITE
#	$gw->on($call, sub { my $m = shift; 491 })    answers that call's refreshes otherwise: a status, [status, reply options], or 0 for silence
use strict;
use warnings;
use parent -norequire, 'Velador::Peer';
use Velador::Peer;
use Velador ();

# timer: speaks RFC 4028; update: lists UPDATE in Allow; both may be set for one call by talk().
sub new {
	my ($class, %o) = @_;
	my $self = $class->SUPER::new(timer => 1, update => 1, %o);
	$self->auto(sub { return $self->_request($_[0]) });
	return $self;
}

sub _of { my ($self, $call_id) = @_; return $self->{of}{$call_id} //= { refreshes => [], byes => [], acks => [], others => [] } }

sub _id { my $call = shift; return ref $call ? $call->{call_id} : $call }

sub refreshes { my ($self, $call) = @_; return $self->_of(_id($call))->{refreshes} }
sub byes      { my ($self, $call) = @_; return $self->_of(_id($call))->{byes} }
sub acks      { my ($self, $call) = @_; return $self->_of(_id($call))->{acks} }
sub on        { my ($self, $call, $do) = @_; $self->_of(_id($call))->{on} = $do; return $self }
# Neither answers that call's refreshes nor its BYE any more.
sub dies      { my ($self, $call) = @_; $self->_of(_id($call))->{dead} = 1; return $self }

sub allow {
	my ($self, $of) = @_;
	return ['Allow', 'INVITE, ACK, CANCEL, BYE, OPTIONS, INFO' . ($of->{update} // $self->{update} ? ', UPDATE' : '')];
}

# The 2xx of RFC 4028 §9 to a request: the interval as asked, and its refresher.
sub session_lines {
	my ($self, $m, $of) = @_;
	my ($interval, $who) = $m->h('Session-Expires') =~ /^(\d+)(?:.*refresher=(\w+))?/;
	return () unless $interval && ($of->{timer} // $self->{timer});
	$who //= 'uac';
	return (['Session-Expires', "$interval;refresher=$who"], ['Supported', 'timer'], ($who eq 'uac' ? ['Require', 'timer'] : ()));
}

sub accept_refresh {
	my ($self, $m, %o) = @_;
	my $of = $self->_of($m->call_id);
	return $self->reply($m, 200, ($m->{method} eq 'INVITE' && !exists $o{body} ? (sdp => 1) : ()), headers => [$self->allow($of), $self->session_lines($m, $of)], %o);
}

sub _request {
	my ($self, $m) = @_;
	return 0 unless $m->is_request && $m->h('To') =~ /;\s*tag=/;
	my $of = $self->_of($m->call_id);
	if ($m->{method} eq 'ACK') {
		push @{ $of->{acks} }, $m;
		return 1;
	}
	if ($m->{method} eq 'BYE') {
		push @{ $of->{byes} }, $m;
		$self->reply($m, 200) unless $of->{dead};
		return 1;
	}
	return 0 unless $m->{method} =~ /^(?:UPDATE|INVITE)$/;
	push @{ $of->{refreshes} }, $m;
	return 1 if $of->{dead};
	my $say = $of->{on} ? $of->{on}->($m) : 200;
	my ($status, @options) = ref $say ? @$say : $say;
	return 1 unless $status;
	$status == 200 ? $self->accept_refresh($m, @options) : $self->reply($m, $status, @options);
	return 1;
}

# A whole call from this endpoint to another; returns the call: {call_id, caller, callee, invite, ok}. Options: user; invite => [headers], interval => of the INVITE;
# caller, callee => {timer, update, on} of one side; answer => reply options of the 200.
sub talk {
	my ($self, $gateway, %o) = @_;
	my $caller = $self->dialog(user => $o{user} // '100');
	my %call = (call_id => $caller->{call_id}, caller => $caller);
	%{ $self->_of($call{call_id}) }    = (%{ $self->_of($call{call_id}) }, %{ $o{caller} // {} });
	%{ $gateway->_of($call{call_id}) } = (%{ $gateway->_of($call{call_id}) }, %{ $o{callee} // {} });
	my $of = $self->_of($call{call_id});
	my @timer = $of->{timer} // $self->{timer} ? (['Supported', 'timer'], ($o{interval} ? ['Session-Expires', $o{interval}] : ())) : ();
	$caller->invite(headers => [$self->allow($of), @timer, @{ $o{invite} // [] }]);
	my $invite = $call{invite} = $gateway->want('INVITE', call_id => $call{call_id}) or die "no INVITE came through\n";
	$call{callee} = $gateway->dialog_of($invite);
	$gateway->accept_refresh($invite, %{ $o{answer} // {} });
	my $ok = $call{ok} = $self->want('200/INVITE', call_id => $call{call_id}) or die "no 200 came back\n";
	$caller->learn($ok);
	$caller->ack;
	Velador::wait_for(sub { Velador::Peer::pump(0.005); return @{ $gateway->acks(\%call) } }, 5, 'the ACK') or die "no ACK came through\n";
	$call{answered} = $ok->{time};
	return \%call;
}

# Lets the peers live for a time, or until a condition holds.
sub live {
	my ($condition, $timeout_s, $what) = @_;
	return Velador::wait_for(sub { Velador::Peer::pump(0.01); return $condition->() }, $timeout_s, $what);
}

# Hangs a call up from the caller's end.
sub leave {
	my ($self, $call) = @_;
	$call->{caller}->bye;
	return $self->want('200/BYE', call_id => $call->{call_id});
}

1;
