# SPDX-License-Identifier: GPL-2.0-or-later
# What sends a call to the next gateway, and what does not.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my %peer = map { $_ => Velador::Peer->new(name => $_) } qw(first second);
my $dead = Velador::free_port();
my $v = Velador->start(plan_of(
	first  => { address => $peer{first}->addr, priority => 1, invite_timeout => '1s', prefix => 1 },
	second => { address => $peer{second}->addr, priority => 2, prefix => '1,2' },
	dead   => { address => "127.0.0.1:$dead", priority => 1, prefix => 2 },
	other  => { address => $peer{second}->addr, priority => 3, prefix => '' },
));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

# Both ends of what is left: the second gateway answers, the caller hangs up.
sub goes_on {
	my ($title, $d, $first) = @_;
	my $invite = $peer{second}->want('INVITE', call_id => $d->{call_id});
	ok($invite, "$title: the next gateway gets it") or return;
	if ($first) {
		cmp_ok($invite->cseq, '>', $first->cseq, 'with a higher CSeq');
		isnt($invite->branch, $first->branch, 'and a branch of its own');
		is($invite->{body}, $first->{body}, 'and the same description');
	}
	my $b = $peer{second}->dialog_of($invite);
	$peer{second}->reply($invite, 200, sdp => 1);
	my $ok = $phone->want('200/INVITE', call_id => $d->{call_id});
	ok($ok, 'the caller hears of the 200 only') or return;
	$d->learn($ok)->ack;
	$peer{second}->want('ACK', call_id => $d->{call_id});
	ok($phone->hang_up($d, $b), 'and the call works');
	my $r = $v->wait_record_of($d->{call_id});
	is_deeply($r->{tried}, $first ? ['first', 'second'] : ['dead', 'second'], 'the record names both');
	is($r->{callee_gateway}, 'second', 'and the one that answered');
	return;
}

for my $status (503, 500, 480, 408) {
	my $d = $phone->dialog(user => '1000');
	$d->invite;
	my $invite = $peer{first}->want('INVITE') or next;
	$peer{first}->reply($invite, 180, contact => 1) if $status == 480;    # a ring without a description does not matter
	$peer{first}->reply($invite, $status);
	ok($peer{first}->want('ACK'), "RFC3261-17.1.1.3 $status is ACKed");
	goes_on("RFC3261-16.7 $status", $d, $invite);
}

for my $status (486, 487, 404, 603, 302) {
	my $d = $phone->dialog(user => '1000');
	$d->invite;
	my $invite = $peer{first}->want('INVITE') or next;
	$peer{first}->reply($invite, $status, $status == 302 ? (contact => '<sip:elsewhere@192.0.2.1>') : ());
	my $final = $phone->want($status, call_id => $d->{call_id});
	ok($final, "RFC3261-16.7 $status goes to the caller");
	next unless $final;
	is($final->h('Contact'), '<sip:elsewhere@192.0.2.1>', 'RFC3261-8.1.3.4 the Contact of a 3xx untouched') if $status == 302;
	$d->ack_failure($final);
	$peer{first}->want('ACK');
	my $r = $v->wait_record_of($d->{call_id});
	is_deeply([@$r{qw(tried sip_status answered_at)}], [['first'], $status, undef], 'one gateway was tried');
	is($r->{reason}, $status == 486 ? 'busy' : 'rejected', 'the reason') unless $status == 487;
}

{
	my $d = $phone->dialog(user => '1000');
	$d->invite;
	my $invite = $peer{first}->want('INVITE');
	my $second = $peer{second}->want('INVITE', timeout => 3);
	ok($second, 'no answer within invite_timeout: the next gateway');
	cmp_ok(abs($second->{time} - $invite->{time} - 1), '<', 0.1, 'after 1 s') if $second;
	unshift @{ $peer{second}{inbox} }, $second if $second;
	goes_on('no answer', $d, $invite);
	$peer{first}->reply($invite, 100);    # too late; by now it must be told that nobody waits
	ok($peer{first}->want('CANCEL'), 'RFC3261-9.1 a late provisional answer is followed by CANCEL');
	$_->{method} eq 'CANCEL' and $peer{first}->reply($_, 200) for grep { $_->{method} } $peer{first}->drain;
	$peer{first}->reply($invite, 487);
	ok($peer{first}->want('ACK'), 'and its 487 is ACKed');
	$peer{first}->drain;
}

{
	my $d = $phone->dialog(user => '2000');
	my $began = Time::HiRes::time();
	$d->invite;
	my $second = $peer{second}->want('INVITE', timeout => 3);
	ok($second && $second->{time} - $began < 0.5, 'RFC3261-8.1.3.1 a port where nobody listens: the next gateway at once');
	unshift @{ $peer{second}{inbox} }, $second if $second;
	goes_on('transport error', $d);
}

{
	my $d = $phone->dialog(user => '1000');
	$d->invite;
	my $invite = $peer{first}->want('INVITE');
	$peer{first}->reply($invite, 183, sdp => 1, contact => 1);
	ok($phone->want(183), 'early media comes through');
	$peer{first}->reply($invite, 503);
	my $final = $phone->want(500, call_id => $d->{call_id});
	ok($final, 'RFC3261-16.7 after early media a 503 goes to the caller, as 500');
	$d->ack_failure($final) if $final;
	ok(!(grep { ($_->{method} // '') eq 'INVITE' } $peer{second}->drain), 'and to no other gateway');
	is($v->wait_record_of($d->{call_id})->{reason}, 'gateway_failed', 'the reason: gateway_failed');
	$peer{first}->drain;
}

{
	my $d = $phone->dialog(user => '1000');
	$d->invite;
	for my $name (qw(first second)) {
		my $invite = $peer{$name}->want('INVITE') or next;
		$peer{$name}->reply($invite, 503);
		$peer{$name}->want('ACK');
	}
	my $final = $phone->want(503, call_id => $d->{call_id});
	ok($final, 'RFC3261-16.7 all refuse with 503: so does the caller\'s answer');
	$d->ack_failure($final) if $final;
	my $r = $v->wait_record_of($d->{call_id});
	is_deeply([@$r{qw(tried sip_status reason)}], [[qw(first second)], 503, 'gateway_failed'], 'and the record says so');
	ok(!(grep { ($_->{method} // '') eq 'INVITE' } $peer{second}->drain), 'a gateway with a shorter prefix is not asked');
}

cmp_ok($v->stat_of('calls_failed_over'), '>=', 6, 'attempts are counted');
$v->done_ok;
done_testing;
