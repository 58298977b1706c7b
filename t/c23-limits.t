# SPDX-License-Identifier: GPL-2.0-or-later
# Values at the edge of what the grammar allows, and more of everything than there is room for.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my @workers = map { $_->{pid} } grep { $_->{kind} eq 'worker' } @{ $v->ctl('status')->{processes} };

sub final_of { my ($method, $cseq) = @_; return sub { ($_[0]{status} // 0) >= 200 && $_[0]->cseq_method eq $method && $_[0]->cseq == $cseq } }

{
	my $top = 2**31 - 1;
	my $d = $phone->dialog;
	$d->invite(cseq => $top);
	my $invite = $carrier->want('INVITE');
	ok($invite, 'RFC3261-8.1.1.5 an INVITE with the highest number that is legal');
	cmp_ok($invite->cseq, '<', $top - 1000, 'leaves room for ours on the other leg');
	my $b = $carrier->dialog_of($invite, cseq => $top - 1);
	$carrier->reply($invite, 200, sdp => 1);
	my $ok = $phone->want('200/INVITE');
	is($ok->cseq, $top, 'the caller sees his own number');
	$d->learn($ok)->ack(cseq => $top);
	my $ack = $carrier->want('ACK');
	is($ack->cseq, $invite->cseq, 'RFC3261-13.2.2.4 the ACK has that of its INVITE') if $ack;
	$b->send('INFO', cseq => $top - 1, body => 'x', type => 'text/plain');
	my $info = $phone->want('INFO');
	cmp_ok($info->cseq, '<', $top - 1000, 'the other way as well');
	$phone->reply($info, 200);
	$carrier->want('200/INFO');
	$b->send('BYE', cseq => $top);
	my $bye = $phone->want('BYE');
	cmp_ok($bye->cseq, '>', $info->cseq, 'and rises');
	$phone->reply($bye, 200);
	ok($carrier->want('200/BYE'), 'the call works');
}
{
	my ($d, $b) = $phone->call($carrier);
	my $long = 'X' x 100;
	$d->{cseq} = 4999;
	$d->send($long);
	my $m = $carrier->want($long);
	is($m ? $m->h('CSeq') : '', ($b->{invite}->cseq + 1) . " $long", 'RFC3261-12.2.1.1 a method with a long name has the number of its leg');
	if ($m) {
		$carrier->reply($m, 200);
		is(($phone->want(final_of($long, 5000)) // { status => 'none' })->{status}, 200, 'and its answer the caller\'s');
	}
	ok($phone->hang_up($d, $b), 'the call works');
}
{
	# As many headers as are taken, and no Content-Length: the head of our responses has one more.
	my $d = $phone->dialog;
	my $via = $phone->via;
	my $text = sub {
		my $vias = shift;
		return "INVITE $d->{target} SIP/2.0\r\n" . join('', map { "$_->[0]: $_->[1]\r\n" } ['Via', $via], (map { ['Via', "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK$_"] } 2 .. $vias),
			['From', $d->{local}], ['To', $d->{remote}], ['Call-ID', $d->{call_id}], ['CSeq', '1 INVITE']) . "\r\n";
	};
	$phone->send($text->(188));
	ok($phone->want(400, call_id => $d->{call_id}), 'an INVITE with 192 headers: 400');
	$text = $text->(172);
	$phone->send($text);
	my $invite = $carrier->want('INVITE', call_id => $d->{call_id});
	ok($invite, 'one with 176, without a Contact');
	if ($invite) {
		$carrier->reply($invite, 180, contact => 1);
		my $ring = $phone->want(180, call_id => $d->{call_id});
		is(scalar($ring ? $ring->all('Via') : ()), 172, 'its 180 comes back through all Vias');
		$d->{last}{INVITE} = { via => $via, cseq => 1, uri => $d->{target} };
		$d->{cseq} = 1;
		$phone->send($text =~ s/^INVITE/CANCEL/r =~ s/1 INVITE/1 CANCEL/r);
		ok($phone->want('200/CANCEL'), 'it is cancelled');
		my $cancel = $carrier->want('CANCEL');
		$carrier->reply($cancel, 200) if $cancel;
		$carrier->reply($invite, 487);
		$carrier->want('ACK');
		my $end = $phone->want(487);
		ok($end, 'and ends');
		$phone->send($text =~ s/^INVITE/ACK/r =~ s/1 INVITE/1 ACK/r =~ s/\r\nTo: .*?\r\n/"\r\nTo: " . $end->h('To') . "\r\n"/er) if $end;
	}
}
{
	# Long Vias, tags, identifiers.
	my $d = $phone->dialog(call_id => 'c' x 9000);
	$d->{local} = '<' . $phone->uri . '>;tag=' . 'f' x 9000;
	my $via = $phone->via(branch => 'b' x 9000);
	$d->invite(via => $via, headers => [['Record-Route', '<sip:' . $phone->addr . ';lr;x=' . 'r' x 6000 . '>']]);
	my $invite = $carrier->want('INVITE', call_id => $d->{call_id});
	ok($invite, 'tags, branch and Call-ID of 9,000 bytes');
	if ($invite) {
		my $b = $carrier->dialog_of($invite, tag => 't' x 9000);
		$carrier->reply($invite, 200, sdp => 1, tag => 't' x 9000);
		my $ok = $phone->want('200/INVITE');
		ok($ok, 'the 200 comes back');
		if ($ok) {
			$d->learn($ok)->ack(routes => []);
			ok($carrier->want('ACK', call_id => $d->{call_id}), 'the ACK goes through');
			$d->bye(routes => []);
			my $bye = $carrier->want('BYE', call_id => $d->{call_id});
			$carrier->reply($bye, 200) if $bye;
			ok($phone->want('200/BYE'), 'and the BYE');
		}
	}
}
{
	my ($a, $b) = $phone->call($carrier);
	$a->send('PRACK', headers => [['RAck', $_]]) for '1 1 INVITE', '4294967295 2147483647 INVITE', '1 1 FOO', 'rubbish', '';
	my @got = map { my $got = $phone->want(final_of('PRACK', $_)); $got ? $got->{status} : () } 2 .. 6;
	is(scalar(grep { $_ == 481 || $_ == 400 } @got), 5, 'RFC3262-3 RAcks that mean nothing are refused') or diag("@got");
	ok($phone->hang_up($a, $b), 'the call works');
}
{
	my ($a, $b) = $phone->call($carrier);
	my $first = $a->{cseq} + 1;
	$a->send('INFO', body => 'x', type => 'text/plain') for 1 .. 20;
	my (%seen, @info);
	while (my $m = $carrier->want('INFO', call_id => $a->{call_id}, timeout => 0.3, quiet => 1)) { push @info, $m unless $seen{ $m->cseq }++ }
	cmp_ok(scalar(@info), '>=', 5, 'twenty requests at once: some are carried');
	my @full = grep { defined } map { $phone->want(final_of('INFO', $first + $_), quiet => 1, timeout => 0.3) } @info .. 19;
	is(@info + @full, 20, 'the others get an answer at once');
	is(scalar(grep { $_->{status} == 503 && $_->h('Retry-After') =~ /^\d+/ } @full), scalar(@full), 'RFC3261-21.5.4 503 with Retry-After');
	$carrier->reply($_, 200) for @info;
	is(scalar(grep { $phone->want('200/INFO') } @info), scalar(@info), 'those carried are answered');
	$a->{cseq} = $first + 19;
	$a->invite;
	my $re = $carrier->want('INVITE', call_id => $a->{call_id});
	ok($re, 'then there is room again');
	$carrier->reply($re, 200, sdp => 1) if $re;
	$phone->want('200/INVITE', call_id => $a->{call_id});
	# His ACK is lost; whatever else there is to absorb, the 200 still waits for it.
	for (1 .. 20) {
		$a->send('INFO', body => 'x', type => 'text/plain');
		my $cseq = $a->{cseq};
		my $info = $carrier->want(sub { ($_[0]{method} // '') eq 'INFO' && !$seen{ $_[0]->cseq }++ }) or last;
		$carrier->reply($info, 200);
		$phone->want(final_of('INFO', $cseq)) or last;
	}
	$a->ack;
	my $ack = $carrier->want('ACK');
	ok($ack, 'RFC3261-13.2.2.4 an ACK after twenty other transactions is still carried');
	is($ack->cseq, $re->cseq, 'with its INVITE\'s number') if $ack;
	ok($phone->hang_up($a, $b), 'the call works');
}
{
	my ($a, $b) = $phone->call($carrier);
	my $one = $a->send('INFO', body => 'x', type => 'text/plain');
	$carrier->reply($carrier->want('INFO'), 200);
	my $first = $phone->want('200/INFO');
	for (1 .. 7) {
		$a->send('INFO', body => 'x', type => 'text/plain');
		$carrier->reply($carrier->want('INFO') // last, 200);
		$phone->want(final_of('INFO', $a->{cseq})) or last;
	}
	$phone->send($one);
	my $again = $phone->want(final_of('INFO', $first->cseq));
	is($again && $again->{status}, 200, 'RFC3261-17.2.2 a request that comes again after more than there is room for gets the answer that it had');
	ok($carrier->never('INFO', 0.1), 'and goes no further');
	ok($phone->hang_up($a, $b), 'the call works');
}
{
	my ($a, $b) = $phone->call($carrier);
	$a->{last}{INVITE} = { via => $phone->via, cseq => 7, uri => $a->{target} };
	my $was = $v->stat_of('stray_cancels');
	$a->cancel;
	ok($phone->want('481/CANCEL'), 'RFC3261-9.2 a CANCEL in a dialog, of no INVITE: 481');
	is($v->stat_of('stray_cancels'), $was + 1, 'counted');
	my $target = $a->{target};
	$a->{cseq} = 7;
	ok($phone->hang_up($a, $b), 'the call works');
}
ok($v->wait_no_calls, 'all calls end');
is_deeply([map { $_->{pid} } grep { $_->{kind} eq 'worker' } @{ $v->ctl('status')->{processes} }], \@workers, 'no worker died');
$v->done_ok;
done_testing;
